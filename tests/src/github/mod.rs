//! A GitHub of one's own: a server that has repositories, issues, labels and comments and serves them over the parts of
//! GitHub's REST and GraphQL APIs that Poppo needs, and over webhooks.
//!
//! It is as strict as GitHub's public description is about paths, methods, media types, headers and bodies, keeps to limits
//! as low as a test wants them, fails on demand ([`Fault`]), and notes every request ([`GitHub::requests`]) and everything
//! that a well-behaved client does not do ([`GitHub::violations`]). A test looks at its state and changes it as people
//! would ([`RepositoryHandle`]), which is told by webhooks ([`GitHub::hook`]).
//!
//! Every server has a port and a thread of its own; dropped, it stops, whatever it was doing.

mod auth;
mod clock;
mod edit;
mod failure;
mod faults;
mod gate;
mod graphql;
mod handle;
mod hub;
mod limits;
mod log;
mod mishap;
mod node;
mod render;
mod rest;
mod state;
mod webhooks;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

pub use auth::{APP_KEY, App, Token};
pub use faults::{Chaos, Fault, GraphqlKind, Rule};
pub use graphql::sdl;
pub use handle::RepositoryHandle;
pub use limits::{Limits, Refusal};
pub use log::{Breach, Request, Violation};
pub use state::{Comment, Departed, Issue, Label, Repository, Standing, User};
pub use webhooks::{Delivery, Hook, Mishaps, Order, signature};

use auth::Keys;
use gate::Gate;
use hub::Hub;
use limits::Meters;
use state::World;
use webhooks::Webhooks;

/// The token that every server knows; its bearer is [`LOGIN`].
pub const TOKEN: &str = "token-of-the-tests";

/// Who bears [`TOKEN`].
pub const LOGIN: &str = "poppo-tests";

/// A running server.
#[derive(Debug)]
pub struct GitHub {
    hub: Arc<Hub>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// A server to be.
#[derive(Debug, Default)]
pub struct Builder {
    limits: Limits,
    tokens: Vec<Token>,
    app: Option<App>,
    is_enterprise: bool,
    port: u16,
}

impl Builder {
    /// Limits other than GitHub's own.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// A token beside [`TOKEN`].
    pub fn token(mut self, token: Token) -> Self {
        self.tokens.push(token);
        self
    }

    /// An App; its key is [`APP_KEY`].
    pub fn app(mut self, app: App) -> Self {
        self.app = Some(app);
        self
    }

    /// An Enterprise server: `/api/v3` before every path, and `/api/graphql`.
    pub fn enterprise(mut self) -> Self {
        self.is_enterprise = true;
        self
    }

    /// That port instead of any.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Starts the server.
    pub fn start(self) -> GitHub {
        let listener = std::net::TcpListener::bind(("127.0.0.1", self.port)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("a bound address");
        let mut tokens = vec![Token::of(LOGIN, TOKEN)];
        tokens.extend(self.tokens);
        let keys = Keys { tokens, app: self.app };
        let (postman, sack) = mpsc::unbounded_channel();
        let meters = Meters::with(self.limits);
        let hub = Arc::new(Hub::new(World::default(), keys, meters, Webhooks::new(postman), self.is_enterprise));
        {
            let mut world = hub.world();
            world.html = format!("http://{address}");
            world.api = format!("http://{address}{}", hub.rest_base);
            world.user(LOGIN);
        }
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&hub);
        let thread = std::thread::spawn(move || serve(serving, listener, sack, stopped));
        GitHub { hub, address, stop: Some(stop), thread: Some(thread) }
    }
}

fn serve(hub: Arc<Hub>, listener: std::net::TcpListener, sack: webhooks::Sack, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).expect("a socket");
        let gate = Gate { hub: Arc::clone(&hub), routes: rest::routes() };
        let router = axum::Router::new().fallback(gate::pass).with_state(gate);
        let postman = async {
            webhooks::deliver(&hub.webhooks, &hub.clock, sack).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            served = axum::serve(listener, router) => served.expect("a listener that listens"),
            () = postman => {}
            // Told to, or forgotten: what is not answered by now never is.
            _ = stopped => {}
        }
    });
    // Connections that wait for ever are dropped with the runtime.
    runtime.shutdown_background();
}

impl Drop for GitHub {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic was seen where it happened.
            drop(thread.join());
        }
    }
}

impl GitHub {
    /// A server with GitHub's own limits.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A server to be.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The base of the REST API, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.hub.rest_base)
    }

    /// Where GraphQL is.
    pub fn graphql_url(&self) -> String {
        format!("http://{}{}", self.address, self.hub.graphql_path)
    }

    /// The repository `owner/name`, made when it is not there.
    pub fn repository(&self, full_name: &str) -> RepositoryHandle<'_> {
        RepositoryHandle::of(&self.hub, full_name)
    }

    /// The server's time.
    pub fn now(&self) -> SystemTime {
        self.hub.clock.now()
    }

    /// Puts the server's clock forward: limits reset, tokens end.
    pub fn advance(&self, by: Duration) {
        self.hub.clock.advance(by);
    }

    /// Puts the server's clock back, as that of a GitHub that is behind everybody else's.
    pub fn set_back(&self, by: Duration) {
        self.hub.clock.set_back(by);
    }

    /// Every request so far, in the order in which they arrived.
    pub fn requests(&self) -> Vec<Request> {
        self.hub.log.requests()
    }

    /// Everything so far that a well-behaved client does not do.
    pub fn violations(&self) -> Vec<Breach> {
        self.hub.log.breaches()
    }

    /// Forgets all requests and violations.
    pub fn forget(&self) {
        self.hub.log.forget();
    }

    /// From now on every label but these is foreign: a request that touches one is a violation.
    pub fn allow_labels(&self, names: &[&str]) {
        self.hub.allow_labels(Some(names.iter().map(|name| (*name).to_owned()).collect()));
    }

    /// Changes the limits; what was used stays used.
    pub fn limit(&self, change: impl FnOnce(&mut Limits)) {
        change(&mut self.hub.meters().limits);
    }

    /// Takes a token away, as if it were revoked.
    pub fn revoke(&self, secret: &str) {
        self.hub.keys().tokens.retain(|token| token.secret != secret);
    }

    /// Has something go wrong.
    pub fn fault(&self, rule: Rule) {
        self.hub.faults().add(rule);
    }

    /// Has anything go wrong at random.
    pub fn chaos(&self, chaos: Chaos) {
        self.hub.faults().set_chaos(Some(chaos));
    }

    /// Nothing goes wrong from now on.
    pub fn heal(&self) {
        self.hub.faults().clear();
    }

    /// Tells everything that happens from now on to that URL.
    pub fn hook(&self, url: &str, secret: &str) {
        self.hub.webhooks.register(Some(Hook { url: url.to_owned(), secret: secret.to_owned() }));
    }

    /// Lets deliveries go astray, by a seed.
    pub fn mislay(&self, mishaps: Mishaps, seed: u64) {
        self.hub.webhooks.set_mishaps(mishaps, seed);
    }

    /// Keeps deliveries back until [`GitHub::release`].
    pub fn hold(&self) {
        self.hub.webhooks.hold();
    }

    /// Sends what was kept back, in that order.
    pub fn release(&self, order: Order) {
        self.hub.webhooks.release(order);
    }

    /// Sends a delivery again that was sent before; says whether there is one with that id.
    pub fn redeliver(&self, id: &str) -> bool {
        self.hub.webhooks.redeliver(id)
    }

    /// Every delivery that has ended, however.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.hub.webhooks.deliveries()
    }

    /// Whether everything that was to be delivered has been.
    pub fn is_idle(&self) -> bool {
        self.hub.webhooks.is_idle()
    }
}
