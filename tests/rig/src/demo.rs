//! `rig demo`: one namespace moves, a second one comes back by itself, on two real control planes, with a person watching.

mod bar;
mod outcome;
mod scene;
mod screen;
mod script;
mod story;
mod way_back;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use self::outcome::Outcome;
use self::scene::Scene;
use self::screen::{Colour, Screen, say};
use self::script::{BOOKS, PAIR, SHOP, Script};
use self::story::{Story, stage};
use crate::kubectl::Kubectl;
use crate::operator::Operator;
use crate::population::{Sickness, Side};
use crate::sample_app::Fault;
use crate::setup::{Options, Setup};
use crate::tools::Tools;
use crate::world::{self, World};

const READY_LIMIT: Duration = Duration::from_secs(60);
/// What the pair says about DNS: external-dns's interval (after an event it takes no longer), propagation and TTL.
const FOLLOWS: [&str; 3] = ["3s", "300ms", "1s"];
/// How often it is looked whether the operator still runs.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Plays the demo on standard output. Fails unless everything ended as it must, and says where the logs are.
pub async fn run() -> Result<()> {
    // Building is not what is shown; `make demo` has done it before.
    Tools::prepare().await?;
    let screen = Screen::start();
    say(INTRODUCTION)?;
    let world = World::start(world::Options::default()).await?;
    let logs = world.folder().display().to_string();
    Box::pin(play(&world, &screen))
        .await
        .with_context(|| format!("the demo did not end well; its logs are in {logs}"))?;
    world.stop().await?;
    say(&format!("\nThe demo took {:.0} s, without building.\n{INVITATION}", screen.elapsed().as_secs_f32()))
}

const INTRODUCTION: &str = "\
Two Kubernetes control planes start on this machine: the source, which serves
now, and the target, which is new. Each has a load balancer with a name, as in
AWS, and the real external-dns, which writes aliases (A and AAAA) to a simulated
Route 53 that answers DNS too. Beside them runs the operator, with the rights
that deploy/ gives it. Two services live on the source, shop and books. Each has
40 users, who ask DNS where it is and ask for its page twice a second; four of
them remember an answer for 5 s, whatever its TTL.

The bar shows the requests of the last 2 s: # (blue) answered by the source,
= (green) by the target, x (red) failed. Beside it the weights, source:target,
written on the Ingresses and served by DNS.
";

const INVITATION: &str = "\
To try it yourself: `make up` leaves all of this running in the background and
prints the commands; `make down` ends it.";

async fn play(world: &World, screen: &Screen) -> Result<()> {
    let options = Options { dns: FOLLOWS, named_balancers: true, ..Options::new(PAIR) };
    let setup = Setup::start(world, options).await?;
    Box::pin(futures::future::try_join(deploy(world, &setup, SHOP), deploy(world, &setup, BOOKS))).await?;
    let operator = Operator::start(world.folder(), &setup.operator_options(None)).await?;

    let (shop, books, fault) = tokio::select! {
        told = both(world, &setup, screen) => told?,
        () = end_of(&operator) => bail!("the operator ended; its log is {}", operator.log_path().display()),
    };

    let outcome = Outcome::collect(world, &setup, &operator, [&shop, &books], fault).await?;
    outcome.tell()?;
    outcome.check(screen)?;
    operator.sigterm().await.context("stopping the operator").map(|_| ())
}

async fn both(world: &World, setup: &Setup, screen: &Screen) -> Result<(Scene, Scene, Sickness)> {
    let shop = move_shop(world, setup, screen).await?;
    let (books, fault) = move_books_and_back(world, setup, screen).await?;
    Ok((shop, books, fault))
}

async fn end_of(operator: &Operator) {
    while operator.is_running() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// On the source the whole service, on the target what CI deploys there before a migration.
async fn deploy(world: &World, setup: &Setup, script: Script) -> Result<()> {
    let (source, target) = (world.source().admin_client()?, world.target().admin_client()?);
    let sample = setup.sample(script.name);
    sample.create_on_source(&source).await?;
    sample.create_on_target(&target).await?;
    sample.wait_until_ready(&source, READY_LIMIT).await
}

async fn move_shop(world: &World, setup: &Setup, screen: &Screen) -> Result<Scene> {
    let mut scene = Scene::open(world, setup, SHOP.name).await?;
    say("\n1. shop moves, step by step. Its team applies this:\n")?;
    say(&SHOP.yaml().lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n"))?;
    say("")?;
    apply(world, SHOP).await?;
    let mut story = Story::of(&mut scene, screen);
    story.tell_until("Completed", |status| stage(status) == "Completed").await?;
    story.follow_users_to(Side::Target).await?;
    Ok(scene)
}

async fn move_books_and_back(world: &World, setup: &Setup, screen: &Screen) -> Result<(Scene, Sickness)> {
    let mut scene = Scene::open(world, setup, BOOKS.name).await?;
    say("\n2. books moves in the same way, by 10, 50 and 100 percent; but its target\n\
         breaks when half of the users are there.\n")?;
    apply(world, BOOKS).await?;
    let mut story = Story::of(&mut scene, screen);
    story.tell_until("the second step's hold", holds_second_step).await?;
    let told = "from now on the application on the target answers 503";
    screen.event(BOOKS.name, "FAULT", told, Some(Colour::Red))?;
    let fault = Sickness::of(Side::Target);
    setup.application().set(world.target().name(), &format!("{}.example.com", BOOKS.name), Fault::Status(503));
    story.tell_until("RolledBack", |status| stage(status) == "RolledBack").await?;
    story.follow_users_to(Side::Source).await?;
    Ok((scene, fault))
}

fn holds_second_step(status: &Value) -> bool {
    status["step"]["index"] == 1 && status["step"]["phase"] == "Holding"
}

async fn apply(world: &World, script: Script) -> Result<()> {
    let kubectl = Kubectl::of(world.source(), world.tools())?;
    kubectl.run_with_input(&["apply", "-f", "-"], &script.yaml()).await.map(|_| ())
}
