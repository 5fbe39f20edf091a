//! What a server needs to speak TLS: an authority of its own, and a certificate that it vouches for.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::{Builder, Server};

/// An authority and a certificate for `127.0.0.1` of its making. The files go with the last copy of this.
#[derive(Debug, Clone)]
pub struct Certificates {
    directory: Arc<TempDir>,
}

impl Certificates {
    /// Makes them; no two are alike.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("poppo-test-").tempdir().expect("a temporary directory");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let key = KeyPair::generate().expect("a key");
        let authority = params.self_signed(&key).expect("a certificate");
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, "127.0.0.1");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        let certificates = Self { directory: Arc::new(directory) };
        let write = |kind: &str, text: String| std::fs::write(certificates.file(kind), text).expect("a file");
        write("ca", authority.pem());
        write("crt", certificate.pem());
        write("key", key.serialize_pem());
        certificates
    }

    /// The authority's certificate (`ca`), the server's (`crt`), or its key (`key`), in PEM form.
    pub fn file(&self, kind: &str) -> PathBuf {
        self.directory.path().join(kind)
    }

    /// The parameter by which a URL says that this authority is to be trusted.
    pub fn trusted(&self) -> String {
        format!("ca={}", self.file("ca").display())
    }

    /// The lines of redis.conf by which a server or a Sentinel speaks TLS at this port. What it asks of others goes by TLS,
    /// too.
    pub(crate) fn lines(&self, port: u16) -> Vec<String> {
        let file = |kind: &str| format!("\"{}\"", self.file(kind).display());
        vec![
            format!("tls-port {port}"),
            format!("tls-cert-file {}", file("crt")),
            format!("tls-key-file {}", file("key")),
            format!("tls-ca-cert-file {}", file("ca")),
            "tls-replication yes".to_owned(),
            "tls-cluster yes".to_owned(),
        ]
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// Starts a server that speaks TLS, too, at [`Server::tls_port`]; none where it was built without, which is said.
    #[track_caller]
    pub fn start_with_tls(self, certificates: &Certificates) -> Option<Server> {
        match self.tls(certificates).try_start() {
            Ok(server) => Some(server),
            Err(log) if log.contains("Bad directive") || log.contains("TLS") => {
                println!("skipped: this server was built without TLS");
                None
            }
            Err(log) => panic!("{log}"),
        }
    }
}
