//! The services, and what each is started with.

use std::path::Path;
use std::process::ExitCode;

/// The environment variable that says which service a process is.
pub const ROLE: &str = "PENSTOCK_STACK_ROLE";

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Schemas.
    Registry,
    /// The shop, which makes its tables, so that there is something to capture.
    Storefront,
    /// Source to log.
    Capture,
    /// Log to projections.
    Projector,
    /// The page.
    Dashboard,
}

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Addresses {
    pub(crate) database: String,
    pub(crate) kafka: String,
    pub(crate) ports: std::collections::BTreeMap<Role, Ports>,
}

/// A service's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) http: u16,
    pub(crate) control: u16,
}

impl Role {
    /// In the order of starting.
    pub const ALL: [Self; 5] =
        [Self::Registry, Self::Storefront, Self::Capture, Self::Projector, Self::Dashboard];

    /// Those that tell what they do over control.
    pub const TOLD: [Self; 3] = [Self::Capture, Self::Projector, Self::Registry];

    /// Returns the service's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Registry => "schema-registry-client",
            Self::Storefront => "storefront",
            Self::Capture => "capture",
            Self::Projector => "projector",
            Self::Dashboard => "ops-dashboard",
        }
    }

    /// Returns the service of that name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Returns the service that this process is told to be.
    pub fn of_process() -> Option<Self> {
        Self::find(&service_kit::variable(ROLE)?)
    }

    /// Is that service until it ends.
    pub fn run(self) -> ExitCode {
        match self {
            Self::Registry => schema_registry_client::cli::main(),
            Self::Storefront => storefront::cli::main(),
            Self::Capture => capture::cli::main(),
            Self::Projector => projector::cli::main(),
            Self::Dashboard => ops_dashboard::cli::main(),
        }
    }

    /// Returns what it is told by its environment. `dir` is its own.
    pub(crate) fn environment(self, at: &Addresses, dir: &Path) -> Vec<(String, String)> {
        let local = |port: u16| format!("127.0.0.1:{port}");
        let Some(own) = at.ports.get(&self) else { return Vec::new() };
        let url = |role| at.ports.get(&role).map_or_else(String::new, |p| local(p.http));
        let control = |roles: &[Self]| {
            let ports = roles.iter().filter_map(|role| at.ports.get(role));
            ports.map(|ports| local(ports.control)).collect::<Vec<_>>().join(",")
        };
        let data_dir = dir.display().to_string();
        let listen = local(own.http);
        let pairs: Vec<(&str, String)> = match self {
            Self::Registry => vec![
                ("PENSTOCK_REGISTRY_LISTEN", listen),
                ("PENSTOCK_REGISTRY_DATA_DIR", data_dir),
                ("PENSTOCK_REGISTRY_KAFKA", at.kafka.clone()),
                ("PENSTOCK_REGISTRY_CONTROL__LISTEN", local(own.control)),
            ],
            Self::Storefront => vec![
                ("PENSTOCK_STOREFRONT_LISTEN", listen),
                ("PENSTOCK_STOREFRONT_DATABASE", at.database.clone()),
                ("PENSTOCK_STOREFRONT_CONTROL", control(&[Self::Capture, Self::Projector])),
                ("PENSTOCK_STOREFRONT_DASHBOARD", format!("http://{}", url(Self::Dashboard))),
            ],
            Self::Capture | Self::Projector => {
                let mut pairs = vec![
                    ("PENSTOCK__TOPIC__PREFIX", "shop".to_owned()),
                    ("PENSTOCK__KAFKA", at.kafka.clone()),
                    ("PENSTOCK__REGISTRY", format!("http://{}", url(Self::Registry))),
                    ("PENSTOCK__DATA_DIR", data_dir),
                    ("PENSTOCK__LISTEN", listen),
                    ("PENSTOCK__CONTROL__LISTEN", local(own.control)),
                ];
                if self == Self::Capture {
                    pairs.push(("PENSTOCK__SOURCE", at.database.clone()));
                    pairs.push((
                        "PENSTOCK__TABLES",
                        "public.*, !public._sqlx_migrations".to_owned(),
                    ));
                } else {
                    pairs.push(("PENSTOCK__PROJECTIONS", "duckdb, search, audit".to_owned()));
                }
                pairs
            }
            Self::Dashboard => vec![
                ("PENSTOCK_DASHBOARD_LISTEN", listen),
                ("PENSTOCK_DASHBOARD_CONTROL", control(&Self::TOLD)),
                ("PENSTOCK_DASHBOARD_ACTIVITY_DIR", data_dir),
            ],
        };
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
