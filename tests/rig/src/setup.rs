//! Everything that one operator needs in a world: `deploy/` applied, load balancers, a `ClusterPair`, kubeconfigs.
//!
//! Each setup has its own ingress class, pair, Secrets and label, so that many share one pair of control planes without
//! touching each other.

mod own_dns;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use crate::certificate_authority::CertificateAuthority;
use crate::control_plane::ControlPlane;
use crate::deploy::{OPERATOR_NAMESPACE, SOURCE_ACCOUNT, TARGET_ACCOUNT};
use crate::deploy::{allow_lease, identity, install_on_home, install_on_source, install_on_target, put_kubeconfig};
use crate::kubeconfig::Access;
use crate::load_balancer::{self, LoadBalancer};
use crate::operator::{self, Lease, Operator, home_access};
use crate::proxy::{Faults, Proxy};
use crate::route53::Route53;
use crate::route53::balancers::elb_name;
use crate::route53::zone::Zone;
use crate::sample_app::Application;
use crate::sample_namespace::SampleNamespace;
use crate::user::User;
use crate::world::World;

pub use own_dns::{Dns, OwnDns, Tune};

/// The label that ties migrations and pairs to one setup's operator.
pub const LABEL: &str = "rig.namespacemigration.io/setup";
/// What external-dns before 0.22 reads.
pub const ANNOTATION_PREFIX: &str = "external-dns.alpha.kubernetes.io/";

/// As it is in the rig: after an event external-dns has its pass within a second, Route 53 serves a change after 300 ms, and the
/// TTL of every record is a second.
const QUICK: [&str; 3] = ["1s", "300ms", "1s"];

/// What the operator takes when it is told nothing.
const LEASE_DURATION: &str = "15s";

const SOURCE_ADDRESS: &str = "127.0.1.1";
const TARGET_ADDRESS: &str = "127.0.1.2";

/// Where the migration objects live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Home {
    /// On the source: the default installation.
    #[default]
    Source,
    /// On a third cluster.
    Third,
    /// On the target: allowed, with a warning.
    Target,
}

/// How the operator verifies what DNS serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// It reads the world's Route 53, which the external-dns of both clusters write.
    #[default]
    Route53,
    /// It asks the world's name server.
    AuthoritativeDns,
    /// It waits, and believes.
    AnnotationOnly,
}

/// What a setup looks like.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names everything that belongs to the setup: the pair, the ingress class, the operator.
    pub name: String,
    /// Where the migration objects live.
    pub home: Home,
    /// Puts a fault proxy between the operator and each API server.
    pub proxied: bool,
    /// What the pair says about external-dns and DNS, all three of them (Go durations): external-dns's interval, the
    /// provider's propagation and the records' TTL. Waiting for DNS takes their sum.
    pub dns: [&'static str; 3],
    /// How the operator verifies what DNS serves.
    pub verification: Verification,
    /// The prefixes of external-dns's annotations on source and target.
    pub annotation_prefixes: [&'static str; 2],
    /// How long the deletion of a migration may wait for a cluster, as the pair says it (Go duration).
    pub deletion_deadline: &'static str,
    /// The ingress class of the source, where it is not that of the target: the pair maps it to the target's.
    pub source_class: Option<String>,
    /// Whose external-dns publish the setup's Ingresses.
    pub own_dns: Dns,
    /// Puts the setup's own zone into a Route 53 account of its own, which may send so many requests a second, all callers together.
    pub requests_per_second: Option<usize>,
    /// Gives the load balancers names as AWS does; external-dns then publishes aliases (A and AAAA) instead of addresses. They
    /// have addresses of both kinds.
    pub named_balancers: bool,
    /// Duration of the Lease that the setup's operators share (a Go duration); None: they work without one.
    pub lease: Option<&'static str>,
}

impl Options {
    /// Home on the source, no proxies, the same annotations and class on both sides, and a DNS that is verified and follows within
    /// seconds.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            home: Home::Source,
            proxied: false,
            dns: QUICK,
            verification: Verification::default(),
            annotation_prefixes: [ANNOTATION_PREFIX; 2],
            deletion_deadline: "15m",
            source_class: None,
            own_dns: Dns::World,
            requests_per_second: None,
            named_balancers: false,
            lease: Some(LEASE_DURATION),
        }
    }
}

/// One operator's surroundings. Dropping it closes load balancers and proxies; objects in the clusters stay.
pub struct Setup {
    options: Options,
    home_access: Access,
    /// How the operator gets into Route 53.
    environment: Vec<(String, String)>,
    /// Who answers the zones, and knows the load balancers' names.
    name_server: SocketAddr,
    application: Application,
    authority: Arc<CertificateAuthority>,
    source_balancer: LoadBalancer,
    target_balancer: LoadBalancer,
    source_proxy: Option<Proxy>,
    target_proxy: Option<Proxy>,
    home_proxy: Option<Proxy>,
    /// Boxed: most setups have none.
    own_dns: Option<Box<OwnDns>>,
}

impl Setup {
    /// Installs and starts everything but the operator itself.
    pub async fn start(world: &World, options: Options) -> Result<Self> {
        match options.home {
            Home::Source => install_on_source(world).await?,
            Home::Third => install_on_home(world).await?,
            Home::Target => install_on_target(world).await?,
        }
        let authority = Arc::new(CertificateAuthority::new(&format!("root of the users of {}", options.name))?);
        let application = Application::new();
        let source_class = options.source_class.as_ref().unwrap_or(&options.name);
        let named = |address, side| balancer_name(world, &options, address, side).map(|name| (address, name));
        let (source_balancer, target_balancer) = futures::try_join!(
            balance(world.source(), named(SOURCE_ADDRESS, "source")?, source_class, &application, &authority),
            balance(world.target(), named(TARGET_ADDRESS, "target")?, &options.name, &application, &authority),
        )?;
        let home = home_of(world, options.home).await?;
        let own_dns = OwnDns::start(world, &options).await?;
        if own_dns.is_none() {
            world.external_dns().await?;
        }
        let mut setup = Self {
            home_access: home_access(home).await?,
            environment: account(world, own_dns.as_deref()).environment("operator"),
            name_server: world.name_server().address(),
            options,
            application,
            authority,
            source_balancer,
            target_balancer,
            source_proxy: None,
            target_proxy: None,
            home_proxy: None,
            own_dns,
        };
        allow_lease(home, setup.name()).await?;
        setup.connect(world, home).await?;
        setup.put_pair(world, home).await?;
        Ok(setup)
    }

    /// Starts the operator of this setup; it handles only objects with the label [`LABEL`] = [`Self::name`].
    pub async fn start_operator(&self, world: &World) -> Result<Operator> {
        Operator::start(world.folder(), &self.operator_options(Some(self.selector()))).await
    }

    /// How the operator of this setup is started; without a selector it handles every object of its home.
    pub fn operator_options(&self, selector: Option<String>) -> operator::Options {
        let lease = self.options.lease.map(|duration| Lease { name: self.options.name.clone(), duration });
        let (name, home) = (self.options.name.clone(), self.home_access.clone());
        let (resolver, environment) = (self.name_server, self.environment.clone());
        // Where the account has a quota, the gap is the one that the operator is shipped with.
        let route53_gap = self.options.requests_per_second.is_none().then_some(operator::QUICK_GAP);
        operator::Options { name, selector, home, lease, resolver, environment, route53_gap }
    }

    /// The setup's name, which is also that of its `ClusterPair` and ingress class, and the value of its label.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// The label selector of what belongs to this setup.
    pub fn selector(&self) -> String {
        format!("{LABEL}={}", self.options.name)
    }

    /// The application behind both load balancers, with its faults.
    pub fn application(&self) -> &Application {
        &self.application
    }

    /// The root that signs the certificates of the load balancers, as PEM.
    pub fn users_root(&self) -> String {
        self.authority.pem()
    }

    /// Somebody who uses the service.
    pub fn user(&self) -> Result<User> {
        User::trusting(&self.users_root())
    }

    /// The source's load balancer.
    pub fn source_balancer(&self) -> &LoadBalancer {
        &self.source_balancer
    }

    /// The target's load balancer.
    pub fn target_balancer(&self) -> &LoadBalancer {
        &self.target_balancer
    }

    /// The faults between the operator and the source's API server, when proxied.
    pub fn source_faults(&self) -> Option<Faults> {
        self.source_proxy.as_ref().or(self.home_proxy.as_ref()).map(Proxy::faults)
    }

    /// The faults between the operator and the target's API server, when proxied.
    pub fn target_faults(&self) -> Option<Faults> {
        self.target_proxy.as_ref().or(self.home_proxy.as_ref()).map(Proxy::faults)
    }

    /// The faults between the operator and its home's API server, when proxied. With the home on the source these are
    /// [`Self::source_faults`], with the home on the target [`Self::target_faults`].
    pub fn home_faults(&self) -> Option<Faults> {
        self.home_proxy.as_ref().map(Proxy::faults)
    }

    /// A namespace of a service team behind this setup's load balancers; its host is `<name>.example.com`, or in the
    /// setup's own zone, `<name>.<setup>.example.org`.
    pub fn sample(&self, name: &str) -> SampleNamespace {
        let class = self.options.source_class.as_deref().unwrap_or(self.name());
        SampleNamespace::new(name, &format!("{name}.{}", self.options.own_dns.domain(self.name())), class)
    }

    /// The zone of the setup's hosts: its own, or the world's.
    pub fn zone<'a>(&'a self, world: &'a World) -> &'a Zone {
        self.own_dns().map_or(world.zone(), OwnDns::zone)
    }

    /// The zone and the external-dns that belong to this setup alone, where the options want them.
    pub fn own_dns(&self) -> Option<&OwnDns> {
        self.own_dns.as_deref()
    }

    /// Hands the operator its connections: tokens of the accounts that `deploy/` created, through proxies if wanted.
    async fn connect(&mut self, world: &World, home: &ControlPlane) -> Result<()> {
        let mut access = self.home_access.clone();
        self.home_proxy = self.proxied(&mut access).await?;
        self.home_access = access;
        if self.options.home != Home::Target {
            let mut target = world.target().service_account(OPERATOR_NAMESPACE, TARGET_ACCOUNT).await?;
            self.target_proxy = self.proxied(&mut target).await?;
            put_kubeconfig(home, &self.kubeconfig_secret("target"), &target).await?;
        }
        if self.options.home != Home::Source {
            let mut source = world.source().service_account(OPERATOR_NAMESPACE, SOURCE_ACCOUNT).await?;
            self.source_proxy = self.proxied(&mut source).await?;
            put_kubeconfig(home, &self.kubeconfig_secret("source"), &source).await?;
        }
        Ok(())
    }

    async fn proxied(&self, access: &mut Access) -> Result<Option<Proxy>> {
        if !self.options.proxied {
            return Ok(None);
        }
        let proxy = Proxy::start(&access.server, &access.ca_pem, &self.authority).await?;
        (access.server, access.ca_pem) = (proxy.url(), self.authority.pem());
        Ok(Some(proxy))
    }

    /// The Secret in the operator's namespace that holds the kubeconfig for a side, `source` or `target`.
    pub fn kubeconfig_secret(&self, side: &str) -> String {
        format!("{}-{side}", self.options.name)
    }

    async fn put_pair(&self, world: &World, home: &ControlPlane) -> Result<()> {
        let name = &self.options.name;
        let pairs = ApiResource::from_gvk(&GroupVersionKind::gvk("namespacemigration.io", "v1alpha1", "ClusterPair"));
        let pairs: Api<DynamicObject> = Api::all_with(home.admin_client()?, &pairs);
        let identities = [identity(world.source()).await?, identity(world.target()).await?];
        let mut pair = self.pair(&identities, &account(world, self.own_dns()).url());
        if let Some(own_dns) = &self.own_dns {
            for (side, prefix) in ["source", "target"].into_iter().zip(self.options.annotation_prefixes) {
                pair["spec"][side]["externalDNS"] = own_dns.facts(side == "source", prefix).await;
            }
        }
        let written = pairs.patch(name, &PatchParams::apply("platform-admin").force(), &Patch::Apply(&pair)).await;
        written.with_context(|| format!("writing ClusterPair {name} on {}", home.name())).map(|_| ())
    }

    fn pair(&self, [source, target]: &[String; 2], endpoint: &str) -> Value {
        let name = &self.options.name;
        let classes: Vec<Value> =
            self.options.source_class.iter().map(|class| json!({"source": class, "target": name})).collect();
        json!({
            "apiVersion": "namespacemigration.io/v1alpha1",
            "kind": "ClusterPair",
            "metadata": {"name": name, "labels": {LABEL: name}},
            "spec": {
                "source": self.side("source", source, &self.source_balancer),
                "target": self.side("target", target, &self.target_balancer),
                "dns": self.dns(endpoint),
                "ingressClasses": classes,
                "deletionDeadline": self.options.deletion_deadline,
                "probes": {"allowedAddresses": ["127.0.0.0/8"], "trustedRoots": self.users_root()},
            },
        })
    }

    fn dns(&self, endpoint: &str) -> Value {
        let [_, propagation, ttl] = self.options.dns;
        let mut dns = json!({"propagation": propagation, "recordTTL": ttl});
        match self.options.verification {
            Verification::AnnotationOnly => dns["verification"] = "AnnotationOnly".into(),
            Verification::Route53 => {
                dns["verification"] = "Route53".into();
                dns["route53"] = json!({ "endpoint": endpoint });
            }
            Verification::AuthoritativeDns => {
                dns["verification"] = "AuthoritativeDNS".into();
                dns["authoritative"] = json!({"nameServers": [self.name_server.to_string()]});
            }
        }
        dns
    }

    fn side(&self, side: &str, identity: &str, balancer: &LoadBalancer) -> Value {
        let is_source = side == "source";
        let in_cluster = self.options.home == if is_source { Home::Source } else { Home::Target };
        let kubeconfig = json!({"kubeconfig": {"secretName": self.kubeconfig_secret(side)}});
        let ([source_prefix, target_prefix], [interval, ..]) = (self.options.annotation_prefixes, self.options.dns);
        let prefix = if is_source { source_prefix } else { target_prefix };
        json!({
            "connection": if in_cluster { json!({"inCluster": {}}) } else { kubeconfig },
            "identity": identity,
            "colour": if is_source { "blue" } else { "green" },
            "externalDNS": {"annotationPrefix": prefix, "interval": interval},
            "loadBalancer": {"httpPort": balancer.http().port(), "httpsPort": balancer.https().port()},
        })
    }
}

/// The Route 53 account with the setup's zone.
fn account<'a>(world: &'a World, own_dns: Option<&'a OwnDns>) -> &'a Route53 {
    own_dns.and_then(OwnDns::account).unwrap_or(world.route53())
}

async fn home_of(world: &World, home: Home) -> Result<&ControlPlane> {
    match home {
        Home::Source => Ok(world.source()),
        Home::Third => world.home().await,
        Home::Target => Ok(world.target()),
    }
}

/// The name of a side's load balancer, where the options want names; from now on it resolves, to an address of either kind.
fn balancer_name(world: &World, options: &Options, address: &str, side: &str) -> Result<Option<String>> {
    if !options.named_balancers {
        return Ok(None);
    }
    let name = elb_name(&format!("{}-{side}", options.name));
    let address: IpAddr = address.parse().context("the address of a load balancer")?;
    world.route53().surroundings().name_balancer(&name, [address, in_ipv6(address)]);
    Ok(Some(name))
}

async fn balance(
    cluster: &ControlPlane,
    (address, name): (&str, Option<String>),
    class: &str,
    application: &Application,
    authority: &Arc<CertificateAuthority>,
) -> Result<LoadBalancer> {
    let options = load_balancer::Options {
        cluster: cluster.name().to_owned(),
        address: address.parse().context("the address of a load balancer")?,
        name,
        http_port: 0,
        https_port: 0,
        class: class.to_owned(),
    };
    LoadBalancer::start(options, cluster.admin_client()?, application.clone(), Arc::clone(authority)).await
}

/// An IPv6 address that leads to an IPv4 one of this machine (RFC 4291 section 2.5.5.2): it needs no IPv6 network.
pub fn in_ipv6(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(_) => address,
    }
}
