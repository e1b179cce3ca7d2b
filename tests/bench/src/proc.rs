//! What the server process costs, read from /proc.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

const MIB: f64 = 1024.0 * 1024.0;

/// The processes of the server: each given pid with all its descendants.
#[derive(Clone)]
pub struct Probe {
    pids: Vec<i32>,
}

/// What the server processes have used so far.
#[derive(Clone, Copy, Default)]
pub struct Sample {
    /// Nanosecond-precise CPU time of all the processes, exited children included.
    pub cpu: Duration,
    pub user: Duration,
    pub sys: Duration,
    pub rss: u64,
    pub pss: u64,
    pub written: u64,
}

impl Sample {
    pub fn rss_mib(&self) -> f64 {
        self.rss as f64 / MIB
    }

    pub fn pss_mib(&self) -> f64 {
        self.pss as f64 / MIB
    }
}

impl Probe {
    pub fn new(pids: Vec<i32>) -> Self {
        Self { pids }
    }

    /// None when no pid was given.
    pub fn sample(&self) -> Option<Sample> {
        if self.pids.is_empty() {
            return None;
        }
        let mut total = Sample::default();
        for pid in with_descendants(&self.pids) {
            // A process that ended in between is counted in its parent's waited-for children.
            let Some(stat) = Stat::read(pid) else {
                continue;
            };
            total.user += stat.user + stat.child_user;
            total.sys += stat.sys + stat.child_sys;
            total.cpu += process_cpu(pid).unwrap_or(stat.user + stat.sys);
            total.cpu += stat.child_user + stat.child_sys;
            total.rss += field(pid, "status", "VmRSS:").unwrap_or(0) * 1024;
            total.pss += field(pid, "smaps_rollup", "Pss:").unwrap_or(0) * 1024;
            total.written += field(pid, "io", "write_bytes:").unwrap_or(0);
        }
        Some(total)
    }
}

/// CPU time of this very process: shows whether the load generator was the bottleneck.
pub fn own_cpu() -> Duration {
    process_cpu(std::process::id() as i32).unwrap_or_default()
}

/// CPU milliseconds of a fixed piece of work, half arithmetic and half memory: shows how fast the
/// machine was, so that figures of different times can be compared.
pub fn calibrate() -> f64 {
    let start = own_cpu();
    let mut x = 1_u64;
    let mut numbers: Vec<u64> = Vec::with_capacity(1 << 20);
    for _ in 0..1 << 20 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        numbers.push(x);
    }
    numbers.sort();
    std::hint::black_box(&numbers);
    own_cpu().saturating_sub(start).as_secs_f64() * 1e3
}

/// Lifts the limit on open files as far as this process may.
pub fn raise_open_files(wanted: u64) -> u64 {
    unsafe {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        if limit.rlim_cur < wanted {
            let raised = libc::rlimit {
                rlim_cur: wanted,
                rlim_max: limit.rlim_max.max(wanted),
            };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raised) != 0 {
                limit.rlim_cur = limit.rlim_max;
                libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
            }
            libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        }
        limit.rlim_cur
    }
}

struct Stat {
    parent: i32,
    user: Duration,
    sys: Duration,
    child_user: Duration,
    child_sys: Duration,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command name may contain spaces: count the fields after its closing parenthesis.
        let fields: Vec<&str> = text[text.rfind(')')? + 2..].split(' ').collect();
        let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
        let ticks = |i: usize| -> Option<Duration> {
            Some(Duration::from_secs_f64(
                fields.get(i)?.parse::<f64>().ok()? / per_second,
            ))
        };
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            user: ticks(11)?,
            sys: ticks(12)?,
            child_user: ticks(13)?,
            child_sys: ticks(14)?,
        })
    }
}

fn with_descendants(roots: &[i32]) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        if let Some(stat) = Stat::read(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found: Vec<i32> = Vec::new();
    let mut open = roots.to_vec();
    while let Some(pid) = open.pop() {
        if !found.contains(&pid) {
            found.push(pid);
            open.extend(children.get(&pid).into_iter().flatten());
        }
    }
    found
}

fn process_cpu(pid: i32) -> Option<Duration> {
    unsafe {
        let mut clock: libc::clockid_t = 0;
        if libc::clock_getcpuclockid(pid, &mut clock) != 0 {
            return None;
        }
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if libc::clock_gettime(clock, &mut time) != 0 {
            return None;
        }
        Some(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }
}

fn field(pid: i32, file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line[name.len()..].split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_itself_and_its_children() {
        let spin = ["-c", "while :; do :; done"];
        let mut child = std::process::Command::new("sh").args(spin).spawn().unwrap();
        let probe = Probe::new(vec![std::process::id() as i32]);
        let own = own_cpu();
        let mut tries = 0;
        while probe.sample().unwrap().cpu < own + Duration::from_millis(20) && tries < 500 {
            std::thread::sleep(Duration::from_millis(10));
            tries += 1;
        }
        let sample = probe.sample().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(tries < 500);
        assert!(sample.rss > 0 && sample.pss > 0 && sample.pss <= sample.rss);
    }

    #[test]
    fn no_pid_no_sample() {
        assert!(Probe::new(Vec::new()).sample().is_none());
    }
}
