//! Where an address is, and whose it is: MaxMind databases that the caller has read.
//!
//! What a database does not know of an address is missing. One answer is kept of each look-up: a text or number, never
//! the record.

use std::{
    fmt,
    hash::{Hash, Hasher},
    net::IpAddr,
    sync::Arc,
};

use maxminddb::Reader;
use serde::Deserialize;

use super::source::hash_of;
use crate::event::{Number, Value};

/// The databases that are configured.
#[derive(Debug, Clone, Default)]
pub struct Enrichment {
    /// For `geo(f)`: of countries or cities.
    pub geo: Option<Arc<Database>>,
    /// For `asn(f)`.
    pub asn: Option<Arc<Database>>,
}

/// A file in MaxMind's format, version 2.
pub struct Database {
    reader: Reader<Vec<u8>>,
    hash: String,
}

/// Why a file is no database.
#[derive(Debug, thiserror::Error)]
#[error("no MaxMind database: {0}")]
pub struct DatabaseError(#[from] maxminddb::MaxMindDbError);

impl Database {
    /// # Errors
    /// When the bytes are no database.
    pub fn open(bytes: Vec<u8>) -> Result<Self, DatabaseError> {
        let hash = hash_of(&bytes);
        Ok(Database { reader: Reader::from_source(bytes)?, hash })
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database {}", self.hash)
    }
}

/// What rules look addresses up in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lookup {
    Geo,
    Asn,
}

/// What is known of one address. By itself it is its country's code, or its number of an autonomous system.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Found {
    pub(super) value: Option<Value>,
    members: Vec<(&'static str, Value)>,
}

/// One of the things that are known of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Thing {
    /// What the address's record stands for by itself.
    Itself,
    Member(&'static str),
    /// That there is a record: true.
    Presence,
}

/// Where rules look addresses up: one of the databases, or nothing where none is configured.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    lookup: Lookup,
    database: Option<Arc<Database>>,
}

impl Directory {
    pub(super) fn lookup(&self) -> Lookup {
        self.lookup
    }

    /// What is known of an address; `None` for what is none, and where nothing is known.
    pub(super) fn look_up(&self, text: &str) -> Option<Arc<Found>> {
        let address: IpAddr = text.parse().ok()?;
        let found = self.database.as_ref()?.reader.lookup(address.to_canonical()).ok()?;
        let found = match self.lookup {
            Lookup::Geo => found.decode::<Geo<'_>>().ok()?.map(Geo::found),
            Lookup::Asn => found.decode::<Asn<'_>>().ok()?.map(Asn::found),
        };
        found.map(Arc::new)
    }
}

impl PartialEq for Directory {
    fn eq(&self, other: &Self) -> bool {
        let hashes = [self, other].map(|directory| directory.database.as_ref().map(|database| &database.hash));
        self.lookup == other.lookup && hashes[0] == hashes[1]
    }
}

impl Eq for Directory {}

impl Hash for Directory {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.lookup.hash(state);
    }
}

impl Lookup {
    pub(super) fn named(name: &str) -> Option<Self> {
        [Lookup::Geo, Lookup::Asn].into_iter().find(|lookup| lookup.name() == name)
    }

    /// What stands after the dot.
    pub(super) fn members(self) -> &'static [&'static str] {
        match self {
            Lookup::Geo => {
                &["country", "country_name", "continent", "region", "city", "latitude", "longitude", "timezone"]
            }
            Lookup::Asn => &["number", "name"],
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Lookup::Geo => "geo",
            Lookup::Asn => "asn",
        }
    }
}

impl Found {
    pub(super) fn thing(&self, thing: Thing) -> Option<Value> {
        match thing {
            Thing::Itself => self.value.clone(),
            Thing::Member(name) => self.member(name).cloned(),
            Thing::Presence => Some(Value::Bool(true)),
        }
    }

    pub(super) fn member(&self, name: &str) -> Option<&Value> {
        self.members.iter().find(|(member, _)| *member == name).map(|(_, value)| value)
    }

    /// Of the value, and of what is there of these members.
    fn new(value: Option<Value>, members: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Self {
        let members = members.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        Found { value, members }
    }
}

impl Enrichment {
    pub(super) fn has(&self, lookup: Lookup) -> bool {
        self.database(lookup).is_some()
    }

    /// A line for each database, for the hash of the rule set.
    pub(super) fn hashes(&self) -> String {
        let all = [Lookup::Geo, Lookup::Asn].map(|lookup| (lookup, self.database(lookup)));
        all.iter()
            .filter_map(|(lookup, database)| Some(format!("{} {}\n", lookup.name(), database.as_ref()?.hash)))
            .collect()
    }

    pub(super) fn directory(&self, lookup: Lookup) -> Directory {
        Directory { lookup, database: self.database(lookup).cloned() }
    }

    fn database(&self, lookup: Lookup) -> Option<&Arc<Database>> {
        match lookup {
            Lookup::Geo => self.geo.as_ref(),
            Lookup::Asn => self.asn.as_ref(),
        }
    }
}

/// What is known of each address in a value, arrays opened.
pub(super) fn found_in(value: &Value, look_up: &dyn Fn(&str) -> Option<Arc<Found>>) -> Vec<Arc<Found>> {
    let mut found = Vec::new();
    value.any_scalar(&mut |scalar| {
        found.extend(scalar.as_text().and_then(|text| look_up(&text)));
        false
    });
    found
}

/// One thing that is known of each address that has it: of an array of addresses, an array.
pub(super) fn of_found(found: &[Arc<Found>], is_array: bool, thing: &dyn Fn(&Found) -> Option<Value>) -> Option<Value> {
    let mut things = found.iter().filter_map(|found| thing(found));
    match is_array {
        true => {
            let things: Vec<Value> = things.collect();
            (!things.is_empty()).then_some(Value::Array(things))
        }
        false => things.next(),
    }
}

/// What rules may ask of a record about a place; records have more.
#[derive(Debug, Deserialize)]
struct Geo<'a> {
    #[serde(borrow)]
    country: Option<Area<'a>>,
    #[serde(borrow)]
    continent: Option<Area<'a>>,
    #[serde(borrow)]
    city: Option<Area<'a>>,
    #[serde(borrow, default)]
    subdivisions: Vec<Area<'a>>,
    #[serde(borrow)]
    location: Option<Location<'a>>,
}

#[derive(Debug, Default, Deserialize)]
struct Area<'a> {
    iso_code: Option<&'a str>,
    /// Of a continent.
    code: Option<&'a str>,
    #[serde(borrow)]
    names: Option<Names<'a>>,
}

#[derive(Debug, Deserialize)]
struct Names<'a> {
    en: Option<&'a str>,
}

#[derive(Debug, Deserialize)]
struct Location<'a> {
    latitude: Option<f64>,
    longitude: Option<f64>,
    time_zone: Option<&'a str>,
}

#[derive(Debug, Deserialize)]
struct Asn<'a> {
    autonomous_system_number: Option<u32>,
    autonomous_system_organization: Option<&'a str>,
}

impl Geo<'_> {
    fn found(self) -> Found {
        let code = |area: &Option<Area<'_>>| area.as_ref().and_then(|area| area.iso_code).map(Value::text);
        let name = |area: &Option<Area<'_>>| area.as_ref()?.names.as_ref()?.en.map(Value::text);
        let location = self.location.as_ref();
        let region = self.subdivisions.first().and_then(|region| region.iso_code).map(Value::text);
        let members = [
            ("country", code(&self.country)),
            ("country_name", name(&self.country)),
            ("continent", self.continent.as_ref().and_then(|continent| continent.code).map(Value::text)),
            ("region", region),
            ("city", name(&self.city)),
            ("latitude", location.and_then(|location| location.latitude).map(degrees)),
            ("longitude", location.and_then(|location| location.longitude).map(degrees)),
            ("timezone", location.and_then(|location| location.time_zone).map(Value::text)),
        ];
        Found::new(code(&self.country), members)
    }
}

impl Asn<'_> {
    fn found(self) -> Found {
        let number = self.autonomous_system_number.map(|number| Value::Number(Number::from(i64::from(number))));
        let name = self.autonomous_system_organization.map(Value::text);
        Found::new(number.clone(), [("number", number), ("name", name)])
    }
}

fn degrees(degrees: f64) -> Value {
    Value::Number(Number::from_written(&degrees.to_string()))
}
