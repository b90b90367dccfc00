//! QUIC by quinn with TLS 1.3 and ChaCha20-Poly1305 (ring), one bidirectional stream, segmentation offload as by default.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use std::future::Future;

use bytes::Bytes;
use quinn::congestion::{BbrConfig, ControllerFactory, CubicConfig};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, EndpointConfig, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use rustls::crypto::ring::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::quic::Suite;
use socket2::{Domain, Socket, Type};

use crate::{enlarge, tell, Goal, Outcome, CHUNK_BYTES};

/// Above any bandwidth-delay product of the lab's links, with their queues.
const WINDOW_BYTES: u32 = 4 << 20;
/// The name in the certificate.
const NAME: &str = "lab";

pub fn serve(listen: SocketAddr, congestion: &str, certificate: &str) -> Outcome {
    let own = rcgen::generate_simple_self_signed([NAME.to_string()])?;
    std::fs::write(certificate, own.cert.der())?;
    let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
    let tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)?;
    let mut config =
        ServerConfig::with_crypto(Arc::new(QuicServerConfig::with_initial(Arc::new(tls), initial())?));
    config.transport_config(transport(congestion)?);
    block_on(async {
        let endpoint = endpoint(listen, Some(config))?;
        let connection = endpoint.accept().await.ok_or("the endpoint is closed")?.await?;
        let (mut reply, mut stream) = connection.accept_bi().await?;
        let started = Instant::now();
        let mut received = 0;
        while let Some(chunk) = stream.read_chunk(usize::MAX, true).await? {
            received += chunk.bytes.len() as u64;
        }
        let time = started.elapsed();
        reply.write_all(&received.to_be_bytes()).await?;
        reply.finish()?;
        connection.closed().await;
        tell(received, time);
        Ok(())
    })
}

pub fn send(target: SocketAddr, congestion: &str, certificate: &str, goal: &Goal) -> Outcome {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(std::fs::read(certificate)?))?;
    let tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::with_initial(Arc::new(tls), initial())?));
    config.transport_config(transport(congestion)?);
    block_on(async {
        let endpoint = endpoint(SocketAddr::from(([0, 0, 0, 0], 0)), None)?;
        let connection = endpoint.connect_with(config, target, NAME)?.await?;
        let (mut stream, mut reply) = connection.open_bi().await?;
        let started = Instant::now();
        let chunk = Bytes::from(vec![0x5a; CHUNK_BYTES]);
        let mut sent = 0;
        loop {
            match goal.next(sent, started) {
                0 => break,
                count => {
                    stream.write_chunk(chunk.slice(..count)).await?;
                    sent += count as u64;
                }
            }
        }
        stream.finish()?;
        let mut confirmed = [0; 8];
        reply.read_exact(&mut confirmed).await?;
        assert_eq!(u64::from_be_bytes(confirmed), sent, "the receiver has everything");
        tell(sent, started.elapsed());
        connection.close(VarInt::from_u32(0), b"done");
        endpoint.wait_idle().await;
        Ok(())
    })
}

/// Everything on this thread.
fn block_on(run: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run)
}

fn endpoint(bind: SocketAddr, config: Option<ServerConfig>) -> Result<Endpoint, Box<dyn std::error::Error>> {
    let socket = Socket::new(Domain::for_address(bind), Type::DGRAM, None)?;
    enlarge(&socket)?;
    socket.bind(&bind.into())?;
    Ok(Endpoint::new(EndpointConfig::default(), config, socket.into(), Arc::new(TokioRuntime))?)
}

fn transport(congestion: &str) -> Result<Arc<TransportConfig>, Box<dyn std::error::Error>> {
    let factory: Arc<dyn ControllerFactory + Send + Sync> = match congestion {
        "cubic" => Arc::new(CubicConfig::default()),
        "bbr" => Arc::new(BbrConfig::default()),
        other => return Err(format!("quinn has no congestion control {other}").into()),
    };
    let mut config = TransportConfig::default();
    config.congestion_controller_factory(factory);
    config.stream_receive_window(VarInt::from_u32(WINDOW_BYTES));
    config.receive_window(VarInt::from_u32(WINDOW_BYTES));
    config.send_window(u64::from(WINDOW_BYTES));
    Ok(Arc::new(config))
}

/// ChaCha20-Poly1305 alone, as nuthatch uses it.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![TLS13_CHACHA20_POLY1305_SHA256],
        ..rustls::crypto::ring::default_provider()
    })
}

/// QUIC's first packets are always AES-128 (RFC 9001, section 5.2).
fn initial() -> Suite {
    TLS13_AES_128_GCM_SHA256
        .tls13()
        .and_then(|suite| suite.quic_suite())
        .expect("ring has this suite for QUIC")
}
