//! What is done for the older programs: the ambassador and the view of a project, and the seat that both need.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::task::JoinSet;

use super::Site;
use super::ambassador::{self, Ambassador, Channels};
use super::board::Board;
use super::config::{Config, Duties};
use super::duty::{self, Duty};
use super::seat::Seat;
use super::view::{self, Layout, View};

/// What all projects have in common.
pub(super) struct Programs {
    duties: Duties,
    /// The project to which the channels belong that all older programs know.
    home: Option<String>,
    requests: ambassador::Metrics,
    views: view::Metrics,
}

impl Programs {
    pub(super) fn new(config: &Config, registry: &mut Registry) -> Self {
        let programs = Self {
            duties: config.duties,
            home: ambassador::home(&config.projects).map(str::to_owned),
            requests: ambassador::Metrics::default(),
            views: view::Metrics::default(),
        };
        programs.requests.register(registry);
        programs.views.register(registry);
        programs
    }

    /// Does for one project what is wished for.
    pub(super) fn serve(&self, site: &Site, board: &Arc<Board>, duties: &mut JoinSet<()>) {
        let key = site.project.key();
        let channels = Channels::of(&site.config, self.home.as_deref()).filter(|_| self.duties.ambassador);
        let layout = Layout::of(site.config.legacy_view, key).filter(|_| self.duties.view);
        if channels.is_none() && layout.is_none() {
            return;
        }
        if site.project.client().file().is_some() {
            let wanted = [(Duty::Ambassador, channels.is_some()), (Duty::View, layout.is_some())];
            for (duty, _) in wanted.into_iter().filter(|(_, is_wanted)| *is_wanted) {
                board
                    .post(Some(key), duty)
                    .off("the projects are in a file, which has neither channels nor other keys");
            }
            return;
        }
        let (seat, keeper) = Seat::of(site.project.client(), key);
        duties.spawn(keeper.keep(site.stop.clone()));
        // With an ambassador, it wants the seat once it can hear.
        seat.want(channels.is_none());
        let is_kept = !site.project.client().is_cluster();
        let view = layout.map(|layout| Arc::new(View::new(site.clone(), seat.clone(), layout, self.views.clone())));
        if let Some(view) = view.clone() {
            duty::spawn(duties, board.post(Some(key), Duty::View), site.stop.clone(), move |health| {
                Arc::clone(&view).run(health)
            });
        }
        if let Some(channels) = channels {
            let ambassador = Ambassador {
                site: site.clone(),
                channels: Arc::new(channels),
                seat,
                view: view.filter(|_| is_kept),
                metrics: self.requests.clone(),
            };
            duty::spawn(duties, board.post(Some(key), Duty::Ambassador), site.stop.clone(), move |health| {
                ambassador.clone().run(health)
            });
        }
    }
}
