//! The rig's Route 53 as the official SDK sees it: every call that a reader or a writer makes, and the typed errors.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use aws_credential_types::Credentials;
use aws_sdk_route53::Client;
use aws_sdk_route53::config::retry::RetryConfig;
use aws_sdk_route53::config::{BehaviorVersion, Config, Region};
use aws_sdk_route53::error::ProvideErrorMetadata as _;
use aws_sdk_route53::operation::change_resource_record_sets::ChangeResourceRecordSetsError;
use aws_sdk_route53::types::{
    AliasTarget, Change, ChangeAction, ChangeBatch, ChangeStatus, HostedZone, ResourceRecord, ResourceRecordSet,
    RrType, TagResourceType,
};
use aws_smithy_http_client::Builder;
use rig::route53::balancers::elb_name;
use rig::route53::faults::Scope;
use rig::route53::zone::Zone;
use rig::route53::{Options, REGION, Route53};

const ELB_ZONE: &str = "ZD4D7Y8KGAS4G";

fn client(route53: &Route53, caller: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .endpoint_url(route53.url())
        .http_client(Builder::new().build_http())
        .retry_config(RetryConfig::disabled())
        .credentials_provider(Credentials::new(caller, "no-secret", None, None, "test"));
    Client::from_conf(config.build())
}

async fn start() -> Result<(Route53, Zone, Client)> {
    let options = Options { requests_per_second: None, propagation: Duration::ZERO, ..Options::default() };
    let route53 = Route53::start(options).await?;
    let (zone, client) = (route53.create_zone("example.com"), client(&route53, "reader"));
    Ok((route53, zone, client))
}

fn batch(sets: impl IntoIterator<Item = ResourceRecordSet>) -> Result<ChangeBatch> {
    let change = |set| Change::builder().action(ChangeAction::Create).resource_record_set(set).build();
    let changes: Vec<Change> = sets.into_iter().map(change).collect::<Result<_, _>>()?;
    Ok(ChangeBatch::builder().set_changes(Some(changes)).build()?)
}

fn address(identifier: Option<&str>, weight: i64) -> Result<ResourceRecordSet> {
    let set = ResourceRecordSet::builder().name("shop.example.com").r#type(RrType::A).ttl(60);
    let set = set.resource_records(ResourceRecord::builder().value("192.0.2.1").build()?);
    let weight = identifier.map(|_| weight);
    Ok(set.set_set_identifier(identifier.map(str::to_owned)).set_weight(weight).build()?)
}

fn alias(identifier: &str) -> Result<ResourceRecordSet> {
    let target = AliasTarget::builder().dns_name(elb_name(identifier)).hosted_zone_id(ELB_ZONE);
    let target = target.evaluate_target_health(true).build()?;
    let set = ResourceRecordSet::builder().name("named.example.com").r#type(RrType::Aaaa).alias_target(target);
    Ok(set.set_identifier(identifier).weight(7).build()?)
}

#[tokio::test]
async fn what_the_sdk_writes_it_reads_back_by_name_and_by_page() -> Result<()> {
    let (route53, zone, client) = start().await?;
    route53.surroundings().name_balancer(&elb_name("blue"), ["127.0.4.1".parse()?]);
    let sets = [address(Some("blue"), 100)?, address(Some("green"), 0)?, alias("blue")?];
    let changed =
        client.change_resource_record_sets().hosted_zone_id(zone.id()).change_batch(batch(sets)?).send().await?;
    let info = changed.change_info().context("what became of it")?;
    let now = client.get_change().id(info.id()).send().await?;
    ensure!(now.change_info().is_some_and(|info| *info.status() == ChangeStatus::Insync));

    let list = || client.list_resource_record_sets().hosted_zone_id(format!("/hostedzone/{}", zone.id()));
    let named = list().start_record_name("named.example.com").max_items(1).send().await?;
    let [set] = named.resource_record_sets() else { bail!("{named:?}") };
    let target = set.alias_target().context("an alias")?;
    ensure!(target.dns_name().trim_end_matches('.') == elb_name("blue") && target.evaluate_target_health());
    ensure!(set.weight() == Some(7) && set.set_identifier() == Some("blue") && set.ttl().is_none());

    let first = list().start_record_name("shop.example.com").max_items(1).send().await?;
    ensure!(first.is_truncated() && first.resource_record_sets().len() == 1, "{first:?}");
    let rest = list()
        .set_start_record_name(first.next_record_name().map(str::to_owned))
        .set_start_record_type(first.next_record_type().cloned())
        .set_start_record_identifier(first.next_record_identifier().map(str::to_owned))
        .send()
        .await?;
    let [set] = rest.resource_record_sets() else { bail!("{rest:?}") };
    ensure!(set.set_identifier() == Some("green") && set.weight() == Some(0) && set.ttl() == Some(60), "{set:?}");
    Ok(())
}

#[tokio::test]
async fn the_sdk_finds_zones_and_their_tags() -> Result<()> {
    let (route53, zone, client) = start().await?;
    route53.create_zone("example.org");
    zone.tag("team", "shop");
    let zones: Vec<_> = client.list_hosted_zones().into_paginator().items().send().collect::<Result<_, _>>().await?;
    ensure!(zones.iter().map(HostedZone::name).eq(["example.com.", "example.org."]), "{zones:?}");
    let named = client.list_hosted_zones_by_name().dns_name("example.com").max_items(1).send().await?;
    ensure!(named.hosted_zones()[0].id() == format!("/hostedzone/{}", zone.id()), "{named:?}");
    let one = client.get_hosted_zone().id(zone.id()).send().await?;
    ensure!(one.delegation_set().is_some_and(|set| set.name_servers().len() == 4), "{one:?}");
    let kind = TagResourceType::Hostedzone;
    let tags = client.list_tags_for_resource().resource_type(kind.clone()).resource_id(zone.id()).send().await?;
    ensure!(tags.resource_tag_set().is_some_and(|set| set.tags()[0].value() == Some("shop")), "{tags:?}");
    let many = client.list_tags_for_resources().resource_type(kind).resource_ids(zone.id()).send().await?;
    ensure!(many.resource_tag_sets().len() == 1, "{many:?}");
    Ok(())
}

#[tokio::test]
async fn the_sdk_reads_refusals_as_errors_of_their_types() -> Result<()> {
    let (route53, zone, client) = start().await?;
    let change = async |set| {
        let change = client.change_resource_record_sets().hosted_zone_id(zone.id()).change_batch(batch([set])?);
        anyhow::Ok(change.send().await.map_err(aws_sdk_route53::error::SdkError::into_service_error))
    };
    change(address(None, 0)?).await??;
    let refused = change(address(Some("green"), 0)?).await?.err().context("it was accepted")?;
    ensure!(matches!(refused, ChangeResourceRecordSetsError::InvalidChangeBatch(_)), "{refused:?}");
    ensure!(refused.message().is_some_and(|message| message.contains("a non-weighted set exists")), "{refused:?}");
    let invalid = change(address(Some("green"), 256)?).await?.err().context("it was accepted")?;
    ensure!(matches!(invalid, ChangeResourceRecordSetsError::InvalidInput(_)), "{invalid:?}");

    let throttled = route53.faults().throttle(Scope::everything().caller("reader"));
    let list = client.list_resource_record_sets().hosted_zone_id(zone.id()).send();
    let refused = list.await.err().context("it was answered")?.into_service_error();
    ensure!(refused.code() == Some("Throttling") && refused.message() == Some("Rate exceeded"), "{refused:?}");
    drop(throttled);
    let unknown = client.list_resource_record_sets().hosted_zone_id("Z9").send();
    let unknown = unknown.await.err().context("it was answered")?.into_service_error();
    ensure!(unknown.is_no_such_hosted_zone(), "{unknown:?}");
    ensure!(zone.journal().iter().all(|entry| entry.caller == "reader"), "the journal says who");
    Ok(())
}
