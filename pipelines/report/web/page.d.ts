// The JSON that page.py embeds, for `tsc --checkJs`. Tables are columns: each is a list with one entry per row.

type Cell = number | null;
type Kind = "good" | "bad" | "warning" | "unknown";
type VerdictName = "match" | "unsettled" | "sessions_missing" | "overall_behind" | "unknown" | "not_loaded";
interface Verdict {
  label: string;
  kind: Kind;
  meaning: string;
}
type DayState = "known" | "provisional" | "unknown" | "gap";

interface Metric {
  label: string;
  aggregate: "sum" | "ratio" | "maximum" | "percentile";
  columns: string[];
  factor: number;
  unit: string;
  unit_of_one: string | null;
  digits: number;
  share: number | null;
  known: string | null;
  short: string | null;
  empty: string;
}
type Measure = Pick<Metric, "unit" | "unit_of_one" | "digits">;

interface CostLine {
  label: string;
  note: string;
  minutes: string;
  factor: number;
  cost: string | null;
  /** Prices of a minute by app; null if none is published. */
  rates: Cell[] | null;
}

interface DayTable {
  app: number[];
  day: number[];
  loaded_at: number[];
  [column: string]: (Cell | boolean)[];
}

interface PeakTable {
  app: number[];
  day: number[];
  peak: number[];
  peak_at: Cell[];
  known: number[];
}

interface RecordTable {
  app: number[];
  day: Cell[];
  table_name: string[];
  reason: string[];
}
interface GroupTable extends RecordTable {
  records: number[];
}

interface LoadTable {
  app: number[];
  finished_at: number[];
  first_day: (string | null)[];
  last_day: (string | null)[];
  requests: Cell[];
  retries: Cell[];
  received: Cell[];
  landed: Cell[];
  quarantined: Cell[];
  duplicates: Cell[];
  note: string[];
}

interface Figures {
  apps: string[];
  first: string;
  last: string;
  metrics: Record<string, Metric>;
  cost_lines: CostLine[];
  verdicts: Record<VerdictName, Verdict>;
  /** Fact tables and their titles. */
  tables: Record<string, string>;
  days: DayTable;
  coverage: {
    app: number[];
    table_name: string[];
    state: DayState[];
    first_day: number[];
    last_day: number[];
    attempts: Cell[];
    tried_at: Cell[];
  };
  peaks: PeakTable;
  audience: PeakTable;
  waits: {app: number[]; day: number[]; waits: number[][]};
  waits_are_exact: boolean;
  streams: {
    keys: {app: number[]; livestream_id: string[]; name: (string | null)[]};
    rows: Record<string, Cell[]> & {stream: number[]; day: number[]};
  };
  livestreams: number;
  messages: {
    keys: {message: (string | null)[]};
    rows: {message: number[]; app: number[]; day: number[]; before_live: number[]; after_live: number[]};
  };
  reconciliation: {
    app: number[];
    day: number[];
    verdict: VerdictName[];
    is_older: boolean[];
    quarantined: number[];
  } & Record<
    | "overall_ingest"
    | "sessions_ingest"
    | "ingest_difference"
    | "overall_viewer"
    | "sessions_viewer"
    | "viewer_difference"
    | "missing_ingest"
    | "missing_viewer"
    | "missing_sessions"
    | "provisional",
    Cell[]
  >;
  audits: Record<"app" | "livestreams" | "verified" | "audited" | "changed", number[]>;
  incidents: {
    /** null for an incident of the whole account */
    app: Cell[];
    rule: string[];
    text: string[];
    state: ("open" | "over" | "corrected")[];
    first_day: Cell[];
    last_day: Cell[];
  };
  allowances: {
    /** app id, or name of a customer */
    holder: string[];
    is_customer: boolean[];
    /** such as 2026-10 */
    month: string[];
    measure: string[];
    is_complete: boolean[];
  } & Record<"used" | "included" | "used_percent" | "beyond" | "cost", Cell[]>;
  quarantine: GroupTable & {field: string[]; example: (string | null)[]};
  quarantined: number;
  shrinks: GroupTable;
  loads: LoadTable;
}

interface SessionState {
  label: string;
  kind: Kind;
  is_failed: boolean;
}
/** The block that `sessions.py` embeds beside the figures. */
interface EmbeddedSessions {
  states: SessionState[];
  sessions_first: number;
  failures_first: number;
  livestreams: {
    app: number[];
    livestream_id: string[];
    name: (string | null)[];
    status: (string | null)[];
    created_at: Cell[];
  };
  /** Number of sessions of each livestream. */
  counts: number[];
  rows: Record<"length" | "wait" | "ingest_seconds" | "viewer_seconds" | "message", Cell[]> & {
    day: number[];
    begun: number[];
    state: string;
    session_id: (string | null)[];
  };
  quarantine: RecordTable & Record<"livestream_id" | "record_id" | "field", string[]>;
  peaks: {app: number[]; livestream_id: string[]; day: number[]; peak: number[]; peak_at: number[]};
}
interface LivestreamKey {
  app: number;
  id: string;
}

/** Days and apps that a figure covers. */
interface Period {
  apps: number[];
  days: number[];
}

type Unit = "day" | "week" | "month";
/** One day, week or month of a chart: its days, the days it is compared with, and its name. */
interface Bucket {
  t: number;
  days: number[];
  before: number[];
  isPale: boolean;
  label: string;
}
/** A period as charts show it. */
interface ChartPeriod extends Period {
  unit: Unit;
  buckets: Bucket[];
}
/** The period compared with: no days if there is none. */
interface Comparison extends Period {
  name: string;
}

/** A figure of a period: null if nothing is known; `known` of the `wanted` days (of each app) are known. */
interface Result {
  value: Cell;
  known: number;
  wanted: number;
  at?: Cell;
}

type Content = string | Node;
interface Row {
  kind?: string;
  cells: (Content | null | (Content | null)[])[];
}
interface TableContent {
  caption: string;
  note?: string;
  columns: [string, string][];
  rows: Row[];
  nothing?: string;
  isSticky?: boolean;
}

type ChartRow = Record<string, Cell | string>;
interface ChartView {
  data(name: string, rows: ChartRow[]): ChartView;
  signal(name: string, value: unknown): ChartView;
  runAsync(): Promise<unknown>;
  origin(): [number, number];
  width(): number;
  width(pixels: number): ChartView;
  run(): ChartView;
  height(pixels: number): ChartView;
  height(): number;
  scale(name: string): {(value: unknown): number | undefined; bandwidth?(): number} | undefined;
  description(text: string): ChartView;
  finalize(): ChartView;
}
interface Window {
  vegaEmbed(place: HTMLElement, specification: object, options: object): Promise<{view: ChartView}>;
}
