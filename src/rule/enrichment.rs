//! Where an address is, and whose it is: MaxMind databases that the caller has read.
//!
//! What a database does not know of an address is missing. One answer is kept of each look-up: a text or number, never
//! the record.

use std::{fmt, net::IpAddr, sync::Arc};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl Lookup {
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

    /// What is known of an address; `None` for what is none, and where nothing is known.
    pub(super) fn look_up(&self, lookup: Lookup, text: &str) -> Option<Found> {
        let address: IpAddr = text.parse().ok()?;
        let found = self.database(lookup)?.reader.lookup(address.to_canonical()).ok()?;
        match lookup {
            Lookup::Geo => found.decode::<Geo<'_>>().ok()?.map(Geo::found),
            Lookup::Asn => found.decode::<Asn<'_>>().ok()?.map(Asn::found),
        }
    }

    fn database(&self, lookup: Lookup) -> Option<&Arc<Database>> {
        match lookup {
            Lookup::Geo => self.geo.as_ref(),
            Lookup::Asn => self.asn.as_ref(),
        }
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
