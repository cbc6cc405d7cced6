// Writes the types of the API client from the committed OpenAPI document; with --check it only compares and fails on a
// difference. One direction: Rust types, OpenAPI, TypeScript.
import { readFileSync, writeFileSync } from "node:fs";
import openapiTS, { astToString } from "openapi-typescript";

const document = new URL("../../crates/api/golden/openapi.json", import.meta.url);
const target = new URL("../src/api/schema.d.ts", import.meta.url);
const head = "// Written by `npm run client` from crates/api/golden/openapi.json. Not to be edited.\n\n";

const text = head + astToString(await openapiTS(document));
if (!process.argv.includes("--check")) {
  writeFileSync(target, text);
} else if (readFileSync(target, "utf8") !== text) {
  console.error("web/src/api/schema.d.ts is stale: run `npm run client` in web/");
  process.exitCode = 1;
}
