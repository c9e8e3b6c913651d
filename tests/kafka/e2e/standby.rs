//! A process that follows the state of another, which dies.

use std::{collections::BTreeSet, time::Duration};

use tripline::telemetry::SignalsStatus;

use super::{
    failover::{PARTITIONS, start_two, wait_for_all_lines},
    process::{Site, until},
    story::{RULES, Writer, epilogue, ids, inputs, knock, make_topics, opening, replay, sorted, story},
};

const SCENES: u64 = 400;
/// Each is a key whose window stays open to the end.
const KNOCKERS: u64 = 3_000;
/// Those who knock twice before the death, and a third time after it.
const RETURNING: u64 = 50;

const KNOCKS: &str = r#"
rule(#{ id: "knocks", title: "Three knocks", severity: "low", input: "auth",
    events: #{ knock: |e| e.event.action == "knock" }, by: ["user.name"], within: "2d",
    when: |w| w.knock.count >= 3 });
"#;

#[test]
fn a_standby_takes_over_with_what_it_followed_and_reads_only_the_tail() {
    let site = Site::new(&[RULES, KNOCKS].concat(), &inputs("10m"));
    make_topics(&site, PARTITIONS);
    let knocks = (0..KNOCKERS).chain(0..RETURNING).map(|user| knock(user, user * 1_000 / KNOCKERS));
    let before: Vec<_> = knocks.chain(story(SCENES)).collect();
    let after: Vec<_> = (0..RETURNING).map(|user| knock(user, SCENES * 1_700 + 5_000)).collect();
    let wanted = replay(&site, &[before.clone(), after.clone()].concat(), PARTITIONS).alerts;

    let standby = [("TRIPLINE__CORRELATE__STANDBY", "true")];
    let (survivor, victim) = start_two(&site, &standby, &standby);
    let theirs: BTreeSet<u32> = victim.lines("correlate").into_iter().map(|(_, partition)| partition).collect();
    Writer::new().tell(&site, &before, PARTITIONS);
    let keys = |signals: &[SignalsStatus]| signals.iter().map(|signals| signals.keys).sum::<u64>();
    let victims = until("every knocker in the state", || {
        let (ours, theirs) = (keys(&survivor.status().signals), keys(&victim.status().signals));
        (ours + theirs >= KNOCKERS).then_some(theirs)
    });
    let followed = until("a follower of every state that has caught up", || {
        let followed = survivor.status().followed;
        let has_all = followed.iter().map(|followed| followed.keys).sum::<u64>() >= victims;
        let at_end = followed.iter().all(|followed| followed.next >= followed.end);
        (followed.len() == theirs.len() && has_all && at_end).then_some(followed)
    });
    assert_eq!(followed.iter().map(|followed| followed.partition).collect::<BTreeSet<_>>(), theirs);

    victim.kill();
    wait_for_all_lines(&survivor);
    let status = survivor.status();
    for followed in followed {
        let signals = status.signals.iter().find(|signals| signals.partition == followed.partition);
        let signals = signals.expect("it was taken over");
        assert!(signals.resume_followed >= followed.keys / 2, "{followed:?} {signals:?}");
        assert!(signals.resume_read < followed.next / 4, "{followed:?} {signals:?}");
    }
    until("an end of all followers", || survivor.status().followed.is_empty().then_some(()));
    assert_eq!((status.standby.dropped, status.standby.begun_anew), (0, 0));
    let said = survivor.said("state restored").expect("it says so");
    assert!(said["read"].is_u64() && said["followed"].as_u64() > Some(0), "{said}");

    let writer = Writer::new();
    writer.tell(&site, &after, PARTITIONS);
    writer.end(&site, &epilogue(SCENES, Duration::from_secs(60)), PARTITIONS);
    let ids = ids(&wanted);
    let found = opening(site.alerts_with(&ids));
    assert!(wanted.iter().filter(|alert| alert["rule"]["id"] == "knocks").count() == RETURNING as usize);
    assert!(sorted(&found) == sorted(&wanted), "{} alerts, {} by replay", found.len(), wanted.len());
}
