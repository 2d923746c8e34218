// Performs every livestream operation of an official TypeScript SDK and prints the responses as JSON.
// node sdk.mjs PATH_OF_THE_PACKAGE BASE_URL TOKEN ACCOUNT APP MEETING START END
const [, , place, baseURL, apiToken, account_id, app_id, meeting, start, end] = process.argv;
const { default: Cloudflare } = await import(`${place}/index.mjs`);
const kit = new Cloudflare({ apiToken, baseURL, maxRetries: 0 }).realtimeKit.livestreams;
const operations = [];
for (let kind = Object.getPrototypeOf(kit); kind !== Object.prototype; kind = Object.getPrototypeOf(kind)) {
  operations.push(...Object.getOwnPropertyNames(kind).filter((name) => /^(get|start|stop|create)/.test(name)));
}
const done = {};

// In version 6 the app is the first argument, since version 7 a parameter next to the account; `Id` became `ID`.
async function about(name, id, others = {}) {
  const own = operations.find((each) => each.toLowerCase() === name.toLowerCase());
  const isOlder = kit[own].length === 4;
  const reply = isOlder
    ? await kit[own](app_id, id, { account_id, ...others })
    : await kit[own](id, { account_id, app_id, ...others });
  done[own] = reply;
  return reply.data;
}

async function ofApp(name, others) {
  done[name] = await kit[name](app_id, { account_id, ...others });
}

const range = { start_time: Number(start), end_time: Number(end) };
await ofApp("getAllLivestreams", { per_page: 5, sort_order: "DSC" });
if (operations.includes("createIndependentLivestream")) {  // until September 2026
  await ofApp("createIndependentLivestream", { name: "from-the-SDK" });
}
const { id } = await about("startLivestreamingAMeeting", meeting, { name: "from the SDK" });
await about("getMeetingActiveLivestreams", meeting);
const { session } = await about("getActiveLivestreamsForLivestreamID", id);
await about("getLivestreamSessionForLivestreamID", id);
await about("getLivestreamSessionDetailsForSessionID", session.id);
await about("stopLivestreamingAMeeting", meeting);
await ofApp("getLivestreamAnalyticsComplete", range);
await ofApp("getLivestreamAnalyticsDaywise", range);
await ofApp("getOrgAnalytics", { start_date: "2025-11-01", end_date: "2025-11-20" });
console.log(JSON.stringify({ operations, done }));
