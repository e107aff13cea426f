//! Reads the XML of a change request: <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html>.
//!
//! What means nothing is refused as `InvalidInput` before any rule of the zone is looked at.

use std::collections::BTreeMap;

use roxmltree::{Document, Node};

use super::journal::{Action, Change};
use super::record::{Kind, Policy, RecordSet, Routing, Target, absolute};
use super::refusal::Refusal;

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html>, `TTL`.
const LONGEST_TTL: u32 = 2_147_483_647;
const ELEMENTS: [&str; 14] = [
    "Name",
    "Type",
    "SetIdentifier",
    "Weight",
    "Region",
    "GeoLocation",
    "Failover",
    "MultiValueAnswer",
    "TTL",
    "ResourceRecords",
    "AliasTarget",
    "HealthCheckId",
    "GeoProximityLocation",
    "CidrRoutingConfig",
];
const POLICIES: [&str; 7] =
    ["Weight", "Region", "Failover", "GeoLocation", "MultiValueAnswer", "GeoProximityLocation", "CidrRoutingConfig"];

/// The changes of a request, in their order.
pub(super) fn changes(body: &str) -> Result<Vec<Change>, Refusal> {
    let document = Document::parse(body).map_err(|error| Refusal::invalid_input(format!("Invalid XML ; {error}")))?;
    let root = document.root_element();
    if root.tag_name().name() != "ChangeResourceRecordSetsRequest" {
        return Err(Refusal::invalid_input(format!("Invalid XML ; unexpected element {}", root.tag_name().name())));
    }
    let changes = child(root, "ChangeBatch").and_then(|batch| child(batch, "Changes"));
    let changes: Vec<Node<'_, '_>> = changes.iter().flat_map(|list| children(*list, "Change")).collect();
    if changes.is_empty() {
        return Err(Refusal::invalid_input("Invalid request: Expected at least one Change in ChangeBatch"));
    }
    changes
        .into_iter()
        .enumerate()
        .map(|(index, change)| Reader { node: change, position: index + 1 }.change())
        .collect()
}

/// The names in a request for the tags of several resources.
pub(super) fn resource_ids(body: &str) -> Result<Vec<String>, Refusal> {
    let document = Document::parse(body).map_err(|error| Refusal::invalid_input(format!("Invalid XML ; {error}")))?;
    let ids = document.descendants().filter(|node| node.has_tag_name_of("ResourceId"));
    Ok(ids.filter_map(|node| node.text()).map(str::to_owned).collect())
}

/// One `Change` element.
struct Reader<'a, 'input> {
    node: Node<'a, 'input>,
    position: usize,
}

impl Reader<'_, '_> {
    fn change(&self) -> Result<Change, Refusal> {
        let action = match text(self.node, "Action") {
            Some("CREATE") => Action::Create,
            Some("DELETE") => Action::Delete,
            Some("UPSERT") => Action::Upsert,
            other => return Err(self.constraint("action", other, "enum value set: [CREATE, DELETE, UPSERT]")),
        };
        let set =
            child(self.node, "ResourceRecordSet").ok_or_else(|| self.invalid("Missing field 'ResourceRecordSet'"))?;
        only_known(set)?;
        Ok(Change { action, set: self.record_set(set)? })
    }

    fn record_set(&self, set: Node<'_, '_>) -> Result<RecordSet, Refusal> {
        let name = text(set, "Name").ok_or_else(|| self.invalid("Missing field 'Name'"))?;
        let kind = text(set, "Type").and_then(|kind| kind.parse::<Kind>().ok());
        let kind =
            kind.ok_or_else(|| self.constraint("resourceRecordSet.type", text(set, "Type"), "enum value set"))?;
        let (ttl, target) = self.target(set)?;
        Ok(RecordSet {
            name: absolute(name),
            kind,
            identifier: text(set, "SetIdentifier").map(str::to_owned),
            routing: self.routing(set)?,
            ttl,
            target,
            health_check: text(set, "HealthCheckId").map(str::to_owned),
        })
    }

    fn routing(&self, set: Node<'_, '_>) -> Result<Routing, Refusal> {
        let given: Vec<&str> = POLICIES.into_iter().filter(|policy| child(set, policy).is_some()).collect();
        match (given.as_slice(), text(set, "SetIdentifier")) {
            ([], None) => Ok(Routing::Simple),
            ([_], None) => Err(self.invalid("Missing field 'SetIdentifier'")),
            ([policy], Some(_)) => self.policy(set, policy),
            (found, _) => {
                let found = if found.is_empty() { "none".to_owned() } else { format!("more than one: {found:?}") };
                Err(self.invalid(&format!(
                    "Expected exactly one of [Weight, Region, Failover, GeoLocation, MultiValueAnswer, \
                     GeoProximityLocation, or CidrRoutingConfig], but found {found}"
                )))
            }
        }
    }

    fn policy(&self, set: Node<'_, '_>, policy: &str) -> Result<Routing, Refusal> {
        let value = text(set, policy).unwrap_or_default().to_owned();
        Ok(Routing::Other(match policy {
            "Weight" => return self.weight(&value),
            "Region" => Policy::Latency(value),
            "Failover" => Policy::Failover(value),
            "MultiValueAnswer" => Policy::Multivalue,
            "GeoLocation" => Policy::Geolocation(pairs(set, policy)),
            "GeoProximityLocation" => Policy::Geoproximity(pairs(set, policy)),
            _ => Policy::Cidr(pairs(set, policy)),
        }))
    }

    fn weight(&self, value: &str) -> Result<Routing, Refusal> {
        let refused = |limit| self.constraint("resourceRecordSet.weight", Some(value), limit);
        match value.parse::<i64>() {
            Ok(weight) if weight < 0 => Err(refused("value greater than or equal to 0")),
            Ok(weight) => {
                u8::try_from(weight).map(Routing::Weighted).map_err(|_| refused("value less than or equal to 255"))
            }
            Err(_) => Err(refused("an integer value")),
        }
    }

    /// Either an alias, or values with a TTL.
    fn target(&self, set: Node<'_, '_>) -> Result<(Option<u32>, Target), Refusal> {
        let expected = "Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or \
                        TrafficPolicyInstanceId], but found";
        let (alias, ttl, records) = (child(set, "AliasTarget"), text(set, "TTL"), child(set, "ResourceRecords"));
        match (alias, ttl, records) {
            (Some(alias), None, None) => Ok((None, self.alias(alias)?)),
            (None, Some(ttl), Some(records)) => Ok((Some(self.ttl(ttl)?), values(records))),
            (None, ..) => Err(self.invalid(&format!("{expected} none"))),
            (Some(_), ..) => Err(self.invalid(&format!("{expected} more than one"))),
        }
    }

    fn ttl(&self, value: &str) -> Result<u32, Refusal> {
        let ttl = value.parse().ok().filter(|ttl| *ttl <= LONGEST_TTL);
        ttl.ok_or_else(|| self.constraint("resourceRecordSet.tTL", Some(value), "value between 0 and 2147483647"))
    }

    fn alias(&self, alias: Node<'_, '_>) -> Result<Target, Refusal> {
        let field =
            |name| text(alias, name).ok_or_else(|| self.invalid(&format!("Missing field '{name}' in AliasTarget")));
        Ok(Target::Alias {
            zone_id: field("HostedZoneId")?.trim_start_matches("/hostedzone/").to_owned(),
            dns_name: absolute(field("DNSName")?),
            evaluate_target_health: field("EvaluateTargetHealth")? == "true",
        })
    }

    fn invalid(&self, problem: &str) -> Refusal {
        let set = child(self.node, "ResourceRecordSet");
        let field = |name| set.and_then(|set| text(set, name)).unwrap_or("null");
        let action = text(self.node, "Action").unwrap_or("null");
        Refusal::invalid_input(format!(
            "Invalid request: {problem} in Change with [Action={action}, Name={}, Type={}, SetIdentifier={}]",
            field("Name"),
            field("Type"),
            field("SetIdentifier"),
        ))
    }

    /// The text that validation of a model gives; that of a weight out of its range is not reported anywhere.
    fn constraint(&self, field: &str, value: Option<&str>, limit: &str) -> Refusal {
        let (value, position) = (value.unwrap_or("null"), self.position);
        Refusal::invalid_input(format!(
            "1 validation error detected: Value '{value}' at 'changeBatch.changes.{position}.member.{field}' failed to \
             satisfy constraint: Member must have {limit}"
        ))
    }
}

/// Elements that no record set has are mistakes.
fn only_known(set: Node<'_, '_>) -> Result<(), Refusal> {
    let names = set.children().filter(Node::is_element).map(|node| node.tag_name().name());
    match names.into_iter().find(|name| !ELEMENTS.contains(name)) {
        Some(unknown) => Err(Refusal::invalid_input(format!("Invalid XML ; unexpected element {unknown}"))),
        None => Ok(()),
    }
}

fn values(records: Node<'_, '_>) -> Target {
    let values = children(records, "ResourceRecord").filter_map(|record| text(record, "Value"));
    Target::Values(values.map(str::to_owned).collect())
}

fn pairs(set: Node<'_, '_>, name: &str) -> BTreeMap<String, String> {
    let elements = child(set, name).into_iter().flat_map(|node| node.children().filter(Node::is_element));
    elements.map(|node| (node.tag_name().name().to_owned(), node.text().unwrap_or_default().to_owned())).collect()
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name_of(name))
}

fn children<'a, 'input>(node: Node<'a, 'input>, name: &str) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| child.has_tag_name_of(name))
}

fn text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name).map(|child| child.text().unwrap_or_default())
}

/// Elements are told apart by their local name; every SDK uses the service's namespace.
trait LocalName {
    fn has_tag_name_of(&self, name: &str) -> bool;
}

impl LocalName for Node<'_, '_> {
    fn has_tag_name_of(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}
