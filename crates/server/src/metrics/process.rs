//! What the operating system says of this process, under the names that Prometheus' own clients use.

use std::fs;

use super::{Kind, Text};

/// Writes what can be read; where `/proc` is not mounted that is less.
pub(crate) fn write(text: &mut Text, started: i64) {
    text.single(
        "process_start_time_seconds",
        Kind::Gauge,
        "When the server was opened, in seconds since 1970.",
        started,
    );
    text.family("process_cpu_seconds_total", Kind::Counter, "Processor time used.");
    if let Some(seconds) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_seconds) {
        text.sample(&[], seconds);
    }
    text.family("process_resident_memory_bytes", Kind::Gauge, "Memory in use.");
    if let Some(bytes) = fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident) {
        text.sample(&[], bytes);
    }
    text.family("process_open_fds", Kind::Gauge, "Open files and connections.");
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        text.sample(&[], open.count());
    }
    text.family("process_max_fds", Kind::Gauge, "Files and connections that may be open.");
    if let Some(most) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        text.sample(&[], most);
    }
}

/// User and system time (proc(5): fields 14 and 15; the name before them may hold anything but ends in `)`).
fn cpu_seconds(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u32 = fields.get(11)?.parse::<u32>().ok()?.checked_add(fields.get(12)?.parse().ok()?)?;
    let a_second = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    (a_second > 0).then(|| f64::from(ticks) / f64::from(a_second))
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_proc_says() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 100 1 1";
        let ticks = f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).unwrap());
        assert_eq!(cpu_seconds(stat), Some(300.0 / ticks));
        assert_eq!(cpu_seconds("nonsense"), None);
        assert_eq!(resident("Name:\tx\nVmRSS:\t    1234 kB\nThreads:\t1\n"), Some(1234 * 1024));
        let own = fs::read_to_string("/proc/self/status").unwrap();
        assert!(resident(&own).unwrap() > 1024 * 1024);
    }
}
