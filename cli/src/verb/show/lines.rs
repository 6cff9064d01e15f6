//! Figures as lines with bars.

use berth_config::counted;

use crate::figures::Figures;
use crate::readable::{bar, cpu_time, percent, size};

/// The lines that this machine has figures for.
pub fn figures(figures: &Figures) -> Vec<(&'static str, String)> {
    let Figures {
        usage,
        limits,
        pressure,
        ..
    } = figures;
    let mut lines = Vec::new();
    if let Some(now) = figures.cpu_percent {
        let rest = [
            usage.cpu_us.map(|us| format!("{} used", cpu_time(us))),
            usage
                .throttled_us
                .filter(|us| *us > 0)
                .map(|us| format!("{} throttled", cpu_time(us))),
        ];
        let cap = limits.cpu_percent.map(|cap| (cap, percent(cap)));
        lines.push(("CPU", share(now, percent(now), cap, rest)));
    }
    if let Some(now) = usage.memory {
        let rest = [
            usage.memory_peak.map(|peak| format!("peak {}", size(peak))),
            usage
                .oom_kills
                .filter(|kills| *kills > 0)
                .map(|kills| counted(kills, "OOM kill")),
        ];
        let cap = limits.memory.map(|cap| (cap as f64, size(cap)));
        lines.push(("Memory", share(now as f64, size(now), cap, rest)));
    }
    if let Some(now) = usage.tasks {
        let rest = [
            usage.tasks_peak.map(|peak| format!("peak {peak}")),
            usage.tasks_refused.map(|count| format!("{count} refused")),
        ];
        let cap = limits.tasks.map(|cap| (cap as f64, cap.to_string()));
        lines.push(("Tasks", share(now as f64, now.to_string(), cap, rest)));
    }
    if let (Some(read), Some(written)) = (usage.io_read, usage.io_write) {
        lines.push((
            "IO",
            format!("{} read, {} written", size(read), size(written)),
        ));
    }
    let waits = pressure.each().into_iter();
    let waits: Vec<String> = waits
        .filter_map(|(name, value)| value.map(|value| format!("{name} {value:.1}%")))
        .collect();
    if !waits.is_empty() {
        lines.push((
            "Pressure",
            format!("{} (some, last minute)", waits.join(", ")),
        ));
    }
    lines
}

/// `|||.............   181% of 800%   4h 12min used`; without a cap there is no bar.
fn share(now: f64, text: String, cap: Option<(f64, String)>, rest: [Option<String>; 2]) -> String {
    let rest: Vec<String> = rest.into_iter().flatten().collect();
    let line = match cap {
        Some((cap, of)) => format!("{}   {text:>4} of {of:<4}", bar(now, cap)),
        None => text,
    };
    format!("{line}   {}", rest.join(", "))
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_session::{Limits, Pressure, Usage};

    #[test]
    fn figures_are_lines_with_bars_where_there_are_caps() {
        let mut page = Figures {
            cpu_percent: Some(181.2),
            usage: Usage {
                cpu_us: Some(15_120_000_000),
                throttled_us: Some(38_000_000),
                memory: Some(1_395_864_371),
                memory_peak: Some(3 << 30),
                tasks: Some(34),
                tasks_peak: Some(198),
                tasks_refused: Some(0),
                io_read: Some(12_992_276_070),
                io_write: Some(880 << 20),
                oom_kills: Some(2),
                ..Usage::default()
            },
            limits: Limits {
                cpu_percent: Some(800.0),
                memory: Some(3 << 30),
                tasks: Some(256),
            },
            pressure: Pressure {
                cpu: Some(4.2),
                memory: Some(0.0),
                io: Some(0.34),
            },
        };
        let text = |page: &Figures| {
            let lines = figures(page).into_iter();
            lines
                .map(|(label, text)| format!("{label:>9}: {text}\n"))
                .collect::<String>()
        };
        assert_eq!(
            text(&page),
            "\u{20}     CPU: |||.............   181% of 800%   4h 12min used, 38s throttled
   Memory: ||||||..........   1.3G of 3.0G   peak 3.0G, 2 OOM kills
    Tasks: ||..............     34 of 256    peak 198, 0 refused
       IO: 12.1G read, 880M written
 Pressure: cpu 4.2%, memory 0.0%, io 0.3% (some, last minute)
"
        );
        page.limits = Limits::default();
        page.usage = Usage {
            cpu_us: Some(400_000),
            ..Usage::default()
        };
        page.pressure = Pressure::default();
        assert_eq!(text(&page), "      CPU: 181%   0.4s used\n");
    }
}
