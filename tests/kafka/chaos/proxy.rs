//! A TCP proxy on loopback that can be cut: then nothing passes, and nobody is told.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// How often it is looked whether the cut is over.
const LOOK: Duration = Duration::from_millis(20);

pub struct Proxy {
    pub port: u16,
    cut: Arc<AtomicBool>,
    target: Arc<OnceLock<u16>>,
}

impl Proxy {
    /// Listens; connections wait until it is told where to.
    pub fn start() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let (cut, target) = (Arc::new(AtomicBool::new(false)), Arc::new(OnceLock::new()));
        let (cut_too, target_too) = (cut.clone(), target.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (cut, target) = (cut_too.clone(), target_too.clone());
                thread::spawn(move || connect(client, *target.wait(), &cut));
            }
        });
        Proxy { port, cut, target }
    }

    pub fn lead_to(&self, port: u16) {
        self.target.set(port).expect("it is told once");
    }

    pub fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }

    pub fn mend(&self) {
        self.cut.store(false, Ordering::Release);
    }
}

fn connect(client: TcpStream, target: u16, cut: &Arc<AtomicBool>) {
    wait_out(cut);
    // Without a broker there, the client sees its connection end.
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { return };
    let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else { return };
    let cut_too = cut.clone();
    thread::spawn(move || pass_on(server_too, client_too, &cut_too));
    pass_on(client, server, cut);
}

fn wait_out(cut: &AtomicBool) {
    while cut.load(Ordering::Acquire) {
        thread::sleep(LOOK);
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, cut: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    from.set_read_timeout(Some(LOOK)).ok();
    to.set_nodelay(true).ok();
    loop {
        wait_out(cut);
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                wait_out(cut);
                if to.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}
