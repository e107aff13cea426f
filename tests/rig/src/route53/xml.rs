//! Writes the answers' XML. Reading is left to a parser; writing needs only elements and their text.

use std::fmt::Write as _;

use super::record::{Policy, RecordSet, Routing, Target};
use super::refusal::Refusal;

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/Welcome.html>
const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// A document that is being written.
#[derive(Debug)]
pub(super) struct Xml(String);

impl Xml {
    /// A whole document with this root element.
    pub(super) fn document(root: &str, content: impl FnOnce(&mut Self)) -> String {
        let mut xml = Self(format!("<?xml version=\"1.0\"?>\n<{root} xmlns=\"{NAMESPACE}\">"));
        content(&mut xml);
        xml.close(root);
        xml.0
    }

    /// An element with elements in it.
    pub(super) fn element(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        // Writing to a String cannot fail.
        let _written = write!(self.0, "<{name}>");
        content(self);
        self.close(name);
    }

    /// An element with text in it.
    pub(super) fn text(&mut self, name: &str, text: impl ToString) {
        self.element(name, |xml| xml.0.push_str(&escaped(&text.to_string())));
    }

    /// The same, if there is a text.
    pub(super) fn optional(&mut self, name: &str, text: Option<impl ToString>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    fn close(&mut self, name: &str) {
        let _written = write!(self.0, "</{name}>");
    }

    /// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html>
    pub(super) fn record_set(&mut self, set: &RecordSet) {
        self.element("ResourceRecordSet", |xml| {
            xml.text("Name", &set.name);
            xml.text("Type", set.kind);
            xml.optional("SetIdentifier", set.identifier.as_ref());
            xml.routing(&set.routing);
            xml.optional("TTL", set.ttl);
            xml.target(&set.target);
            xml.optional("HealthCheckId", set.health_check.as_ref());
        });
    }

    fn routing(&mut self, routing: &Routing) {
        match routing {
            Routing::Simple => {}
            Routing::Weighted(weight) => self.text("Weight", weight),
            Routing::Other(Policy::Latency(region)) => self.text("Region", region),
            Routing::Other(Policy::Failover(role)) => self.text("Failover", role),
            Routing::Other(Policy::Multivalue) => self.text("MultiValueAnswer", true),
            Routing::Other(Policy::Geolocation(place)) => self.pairs("GeoLocation", place),
            Routing::Other(Policy::Geoproximity(place)) => self.pairs("GeoProximityLocation", place),
            Routing::Other(Policy::Cidr(block)) => self.pairs("CidrRoutingConfig", block),
        }
    }

    fn pairs<'a>(&mut self, name: &str, pairs: impl IntoIterator<Item = (&'a String, &'a String)>) {
        self.element(name, |xml| pairs.into_iter().for_each(|(key, value)| xml.text(key, value)));
    }

    fn target(&mut self, target: &Target) {
        match target {
            Target::Values(values) => self.element("ResourceRecords", |xml| {
                for value in values {
                    xml.element("ResourceRecord", |xml| xml.text("Value", value));
                }
            }),
            Target::Alias { zone_id, dns_name, evaluate_target_health } => self.element("AliasTarget", |xml| {
                xml.text("HostedZoneId", zone_id);
                xml.text("DNSName", dns_name);
                xml.text("EvaluateTargetHealth", evaluate_target_health);
            }),
        }
    }
}

/// The body of an error.
pub(super) fn error(refusal: &Refusal, request: &str) -> String {
    Xml::document("ErrorResponse", |xml| {
        xml.element("Error", |xml| {
            xml.text("Type", "Sender");
            xml.text("Code", &refusal.code);
            xml.text("Message", &refusal.message);
        });
        xml.text("RequestId", request);
    })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
