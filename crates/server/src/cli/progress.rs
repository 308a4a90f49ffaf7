//! A line that says how far a long command is, for a person at a terminal and nobody else.

use std::cell::Cell;
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::rc::Rc;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(100);
const WIDTH: u64 = 24;

/// Counts what is read.
pub(super) struct Counted<R> {
    input: R,
    read: Rc<Cell<u64>>,
}

impl<R> Counted<R> {
    pub(super) fn new(input: R) -> (Self, Rc<Cell<u64>>) {
        let read = Rc::new(Cell::new(0));
        (Self { input, read: Rc::clone(&read) }, read)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buffer)?;
        self.read.set(self.read.get() + n as u64);
        Ok(n)
    }
}

pub(super) struct Progress {
    /// Bytes in all, where that is known.
    size: Option<u64>,
    read: Rc<Cell<u64>>,
    /// None: nobody watches.
    shown_at: Option<Instant>,
    on_screen: bool,
}

impl Progress {
    pub(super) fn start(size: Option<u64>, read: Rc<Cell<u64>>) -> Self {
        let watched = io::stderr().is_terminal();
        Self { size, read, shown_at: watched.then(Instant::now), on_screen: false }
    }

    pub(super) fn show(&mut self, rows: u64, refused: u64) {
        let Some(shown_at) = self.shown_at.as_mut().filter(|at| at.elapsed() >= EVERY) else { return };
        *shown_at = Instant::now();
        let bar =
            self.size.filter(|size| *size > 0).map_or_else(String::new, |size| bar(self.read.get(), size));
        let _ = write!(io::stderr().lock(), "\r\x1b[K{bar}{rows} rows, {refused} refused");
        self.on_screen = true;
    }

    /// Makes room for lines that stay.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.on_screen) {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

pub(super) fn bar(read: u64, size: u64) -> String {
    let read = read.min(size);
    let filled = read * WIDTH / size;
    let percent = read * 100 / size;
    let cells: String = (0..WIDTH).map(|cell| if cell < filled { '█' } else { '░' }).collect();
    format!("{cells} {percent:>3} %  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_up() {
        assert_eq!(bar(0, 10), format!("{}   0 %  ", "░".repeat(24)));
        assert_eq!(bar(5, 10), format!("{}{}  50 %  ", "█".repeat(12), "░".repeat(12)));
        assert_eq!(bar(20, 10), format!("{} 100 %  ", "█".repeat(24)));
    }

    #[test]
    fn reading_is_counted() {
        let (mut input, read) = Counted::new(&b"12345"[..]);
        io::copy(&mut input, &mut io::sink()).unwrap();
        assert_eq!(read.get(), 5);
    }
}
