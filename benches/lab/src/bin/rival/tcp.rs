//! Plain TCP with the kernel's congestion control of that name. No encryption: the cheapest rival there can be.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Instant;

use socket2::{Domain, Socket, Type};

use crate::{tell, Goal, Outcome, CHUNK_BYTES};

pub fn serve(listen: SocketAddr, congestion: &str) -> Outcome {
    let socket = Socket::new(Domain::for_address(listen), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_congestion(congestion.as_bytes())?;
    socket.bind(&listen.into())?;
    socket.listen(1)?;
    let mut stream = TcpStream::from(socket.accept()?.0);
    let started = Instant::now();
    let mut buffer = vec![0; 4 * CHUNK_BYTES];
    let mut received = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            count => received += count as u64,
        }
    }
    let time = started.elapsed();
    stream.write_all(&received.to_be_bytes())?;
    tell(received, time);
    Ok(())
}

pub fn send(target: SocketAddr, congestion: &str, goal: &Goal) -> Outcome {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    socket.set_tcp_congestion(congestion.as_bytes())?;
    socket.connect(&target.into())?;
    let mut stream = TcpStream::from(socket);
    let started = Instant::now();
    let chunk = vec![0x5a; CHUNK_BYTES];
    let mut sent = 0;
    loop {
        match goal.next(sent, started) {
            0 => break,
            count => {
                stream.write_all(&chunk[..count])?;
                sent += count as u64;
            }
        }
    }
    stream.shutdown(Shutdown::Write)?;
    let mut confirmed = [0; 8];
    stream.read_exact(&mut confirmed)?;
    assert_eq!(u64::from_be_bytes(confirmed), sent, "the receiver has everything");
    tell(sent, started.elapsed());
    Ok(())
}
