// Rows of each chart, in the shapes that charts.py tells, and drawing them.

const views = {};

/** Whether a day is known, known of some apps only, or unknown; and the sign to write on it. */
function stateOfDay(result, period) {
  const state = !result.known ? "unknown" : result.known < result.wanted ? "partial" : "known";
  const fits = period.days.length <= 62;
  return {state, sign: fits ? {unknown: "?", partial: "~", known: ""}[state] : ""};
}

function daysRows(metric, period, before) {
  return period.days.map((day, n) => {
    const now = metric.of({...period, days: [day]});
    const then = before.days.length
      ? metric.of({...before, days: [before.days[n]]})
      : {value: null, known: 0, wanted: 1};
    const part = now.known && coverage(now, {...period, days: [day]});
    return {
      t: moment(day),
      value: now.value,
      before: then.known < then.wanted ? null : then.value,
      kind: isWeekend(day) ? "weekend" : "weekday",
      ...stateOfDay(now, period),
      day: `${weekday(day)} ${dayText(day)}`,
      shown: now.known ? withUnit(now.value, metric) + (part ? ` (${part})` : "") : "unknown",
      shown_before:
        then.known < then.wanted ? "unknown" : `${withUnit(then.value, metric)} (${dayText(before.days[n])})`,
    };
  });
}

function weekdaysRows(metric, period, before) {
  const mean = (of, name) => {
    const days = of.days
      .filter((day) => weekday(day) === name)
      .filter((day) => {
        const one = metric.of({...of, days: [day]});
        return one.known === one.wanted;
      });
    const result = days.length ? metric.of({...of, days}) : {value: null};
    return {
      days: days.length,
      value: result.value !== null && metric.kind === "sum" ? result.value / days.length : result.value,
    };
  };
  return ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].map((name) => {
    const [now, then] = [mean(period, name), mean(before, name)];
    return {
      weekday: name,
      kind: name[0] === "S" ? "weekend" : "weekday",
      value: now.value,
      before: then.value,
      shown: withUnit(now.value, metric),
      shown_before: withUnit(then.value, metric),
      days: String(now.days),
    };
  });
}

function peaksRows(period) {
  return period.days.map((day) => {
    const found = peak({...period, days: [day]});
    const least = found.known < found.wanted && found.value !== null ? "at least " : "";
    return {
      t: moment(day),
      value: found.value,
      ...stateOfDay(found, period),
      day: `${weekday(day)} ${dayText(day)}`,
      shown: found.value === null ? "unknown" : least + written(found.value, 0),
      moment: timeText(found.at),
    };
  });
}

function audiencesRows(period) {
  return period.days.map((day) => {
    const found = audience({...period, days: [day]});
    return {
      t: moment(day),
      value: found.value,
      ...stateOfDay(found, period),
      day: `${weekday(day)} ${dayText(day)}`,
      shown: found.value === null ? "nobody looked" : written(found.value, 1),
      moment: timeText(found.at),
    };
  });
}

function topRows(streams, rank) {
  const {factor, digits, unit} = RANKS[rank];
  return streams
    .slice(0, LISTED)
    .filter((line) => line[rank] !== null)
    .map((line, n) => ({
      label: `${n + 1}. \u2068${streamLabel(line)}\u2069`,
      value: line[rank] * factor,
      app: data.apps[line.app],
      shown: withUnit(line[rank] * factor, {unit, digits}),
    }));
}

function waitsRows(period) {
  return period.days.flatMap((day) => {
    const sorted = waits({...period, days: [day]});
    return [
      ["median (p50)", 0.5],
      ["95th percentile (p95)", 0.95],
    ].map(([series, share]) => {
      const value = percentile(sorted, share);
      return {
        t: moment(day),
        series,
        seconds: value === null ? null : value / 1000,
        day: `${weekday(day)} ${dayText(day)}`,
        shown: value === null ? DASH : `${written(value / 1000, 1)} s`,
        sessions: written(sorted.length, 0),
      };
    });
  });
}

function failuresRows(period) {
  const kinds = [
    ["failed before going live", "before_live"],
    ["failed after going live", "after_live"],
  ];
  const sums = new Map(period.days.map((day) => [day, [0, 0]]));
  const {rows} = data.messages;
  rows.message.forEach((_, n) => {
    if (!sums.has(rows.day[n]) || !period.apps.includes(rows.app[n])) return;
    kinds.forEach(([, column], k) => {
      sums.get(rows.day[n])[k] += rows[column][n];
    });
  });
  return period.days.flatMap((day) => {
    const found = add(["sessions"], {...period, days: [day]});
    const {known} = found;
    return kinds.map(([kind], k) => ({
      t: moment(day),
      kind,
      place: k,
      value: known ? sums.get(day)[k] : null,
      ...(k ? {state: "known", sign: ""} : stateOfDay(found, period)),
      day: `${weekday(day)} ${dayText(day)}`,
      shown: known ? written(sums.get(day)[k], 0) : "unknown",
    }));
  });
}

function verdictsRows(period) {
  return period.days.flatMap((day) => {
    const apps = new Map();
    for (const app of period.apps) {
      const name = verdict(app, day);
      apps.set(name, [...(apps.get(name) || []), data.apps[app]]);
    }
    return [...apps].map(([name, who]) => ({
      t: moment(day),
      verdict: data.verdicts[name],
      day: `${weekday(day)} ${dayText(day)}`,
      app: who.join(", "),
    }));
  });
}

function captionCharts(metric, period, before, rank) {
  const unit = metric.unit ? `, ${metric.unit}` : "";
  const label = ["h", "min"].includes(metric.unit) ? metric.label : metric.label + unit;
  showCaption("days-caption", `${label}, by day`, "UTC days; weekends paler");
  showCaption(
    "weekdays-caption",
    metric.kind === "sum" ? "Weekday rhythm" : "By weekday",
    metric.kind === "sum" ? "mean of the known days" : "all known days of that weekday together",
  );
  const best = peak(period);
  showCaption(
    "peaks-caption",
    "Peak concurrent streams, by day",
    best.value === null
      ? "unknown"
      : clauses(
          `most at one moment: ${written(best.value, 0)}${best.at ? `, first on ${timeText(best.at)}` : ""}`,
          coverage(best, period),
        ),
  );
  const crowd = audience(period);
  showCaption(
    "audience-caption",
    "Peak concurrent viewers, by day",
    crowd.value === null
      ? "nobody looked in this period"
      : clauses(
          `most at once: ${written(crowd.value, 1)}, first on ${timeText(crowd.at)}`,
          crowd.known < crowd.wanted ? `observed on ${crowd.known} of ${counted(crowd.wanted, "day", "days")}` : "",
        ),
  );
  showCaption(
    "top-caption",
    `${RANKS[rank].label}${period.apps.length > 1 ? ", all apps" : ""}`,
    "of the livestreams listed",
  );
  const sorted = waits(period);
  const seconds = (share) => (sorted.length ? `${written(percentile(sorted, share) / 1000, 1)} s` : DASH);
  showCaption(
    "waits-caption",
    "Time to live, by day",
    clauses(
      "seconds from invoked to started",
      `this period p50 ${seconds(0.5)}, p95 ${seconds(0.95)}`,
      `of ${counted(sorted.length, "session that tells", "sessions that tell")} both`,
    ),
  );
  showCaption("failures-caption", "Failed sessions, by day", "sessions with an error message");
  const sides = "the API’s own daily totals against the sums of sessions";
  showCaption("verdicts-caption", "Reconciliation, by day", sides);
  document.getElementById("waits-note").textContent =
    clauses(
      "Percentiles of a period are taken of all its sessions, not of daily percentiles",
      data.waits_are_exact ? "" : "each time to live is rounded to the nearest of steps 2 % apart",
    ) + ".";
}

/** Rows of every chart for what is chosen. */
function chartRows(metric, period, before, rank, streams) {
  return {
    days: daysRows(metric, period, before),
    weekdays: weekdaysRows(metric, period, before),
    peaks: peaksRows(period),
    audience: audiencesRows(period),
    top: topRows(streams, rank),
    waits: waitsRows(period),
    failures: failuresRows(period),
    verdicts: verdictsRows(period),
  };
}

async function drawCharts(rows) {
  const specifications = JSON.parse(document.getElementById("charts").textContent);
  for (const [name, specification] of Object.entries(specifications)) {
    const place = document.getElementById(`chart-${name}`);
    if (place.parentElement.hidden) continue;
    const caption = place.parentElement.querySelector("figcaption");
    specification.datasets = {[name]: rows[name]};
    specification.description = caption.firstChild.textContent;
    // `ast`: expressions are interpreted, so the page need not allow eval
    // `logLevel`: errors are told, not that a chart is empty
    const {view} = await window.vegaEmbed(place, specification, {
      renderer: "svg",
      actions: false,
      ast: true,
      defaultStyle: false,
      tooltip: {disableDefaultStyle: true},
      logLevel: 1,
    });
    views[name] = view;
  }
}

async function updateCharts(rows) {
  for (const [name, view] of Object.entries(views)) {
    await view.data(name, rows[name]).runAsync();
  }
}
