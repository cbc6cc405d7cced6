import { expect, test } from "vitest";
import { unitsOf } from "../market";
import { snippets } from "./access";
import { detailsOf, formOf } from "./place";
import { deliveriesOf } from "./receipts";

const opening = {
  order: "ord_1",
  consumer: "pty_1",
  product: "prd_1",
  purpose: "insurance/claim",
  mode: "file" as const,
  protocol: "rest",
  grant_digest: "g",
  rulebook_version: "2026-11",
  nature: "REAL" as const,
  snapshots: ["res_1@0"],
  request_digest: "d",
};
const totals = { rows: 2, answer_rows: 2, bytes: 10, calls: 0, data_sets: 1 };
const at = "2026-11-24T00:00:00Z";

test("records become deliveries, newest first", () => {
  const records = [
    { position: 1, record: { receipt: "rcp_1", at, body: { opened: opening } } },
    { position: 2, record: { receipt: "rcp_1", at, body: { part: { number: 0, rows: 2, row_set: "" } } } },
    { position: 3, record: { receipt: "rcp_2", at, body: { single: { opening, totals, row_set: "" } } } },
    {
      position: 4,
      record: { receipt: "rcp_1", at, body: { closed: { outcome: { stopped: { code: "grant_suspended" } }, totals } } },
    },
    { position: 5, record: { receipt: "rcp_3", at, body: { opened: opening } } },
  ];
  const deliveries = deliveriesOf(records);
  expect(deliveries.map((delivery) => [delivery.receipt, delivery.outcome])).toEqual([
    ["rcp_3", undefined],
    ["rcp_2", "delivered"],
    ["rcp_1", "grant_suspended"],
  ]);
  expect(deliveries[2]?.opening?.mode).toBe("file");
});

test("a command line per mode, and never a key", () => {
  const lines = snippets("http://127.0.0.1:8080", "delays", ["flight", "day"], "delay", ["verification", "file"]);
  expect(lines).toHaveLength(2);
  expect(lines[0]).toContain('"key":{"flight":"…","day":"…"}');
  expect(lines[0]).toContain("/data/v1/delays/verify");
  expect(lines[1]).toContain("/data/v1/delays/export?format=parquet");
  expect(lines.every((line) => line.includes("$LINGQU_KEY"))).toBe(true);
});

const draft = {
  product: "prd_0",
  purpose: "service",
  modes: ["rows" as const, "file" as const],
  // Half past one in Beijing, which is the day before in Greenwich.
  term: { from: "2026-11-24T17:30:00Z", until: "2027-11-24T17:30:00Z" },
  quota: { calls: 1000, data_sets: 1 },
};

test("an untouched form orders what the server drafted, to the moment", () => {
  expect(detailsOf(draft, formOf(draft))).toEqual(draft);
  expect(formOf(draft)).toMatchObject({ from: "2026-11-25", until: "2027-11-25" });
});

test("a day that was chosen begins at midnight in Beijing", () => {
  const filled = { ...formOf(draft), purpose: " service/check ", until: "2026-12-01", calls: null };
  const details = detailsOf(draft, filled);
  expect(details.term).toEqual({ from: draft.term.from, until: "2026-12-01T00:00:00+08:00" });
  expect(details).toMatchObject({ purpose: "service/check", quota: { calls: 0, data_sets: 1 } });
});

test("a price is shown for what a product can be had in", () => {
  expect(unitsOf(["compute", "verification"])).toEqual(["per_call"]);
  expect(unitsOf(["file"])).toEqual(["per_data_set"]);
  expect(unitsOf(["rows", "file"])).toEqual(["per_call", "per_data_set"]);
  expect(unitsOf([])).toEqual(["per_call", "per_data_set"]);
});
