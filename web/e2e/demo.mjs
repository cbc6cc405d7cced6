// Starts `lingqu demo --serve` on a directory that vanishes, and a real Chromium.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

/** How long the demo may take until it serves, in milliseconds. */
const DEMO_MS_MAX = 15 * 60_000;

/** The binary under test. */
export function binary() {
  if (process.env.LINGQU_BINARY) return process.env.LINGQU_BINARY;
  const target = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL("../../target", import.meta.url));
  const found = [join(target, "release", "lingqu"), join(target, "debug", "lingqu")].filter(existsSync);
  // A debug binary is what the tests build; a release binary may be older than the sources.
  const path = found.at(-1);
  if (!path) throw new Error("no lingqu binary found: build it with `cargo build -p lingqu`, or set LINGQU_BINARY");
  return path;
}

function browserPath() {
  if (process.env.LINGQU_CHROMIUM) return process.env.LINGQU_CHROMIUM;
  const names = ["chromium", "chromium-browser", "google-chrome"];
  for (const directory of (process.env.PATH ?? "").split(delimiter)) {
    for (const name of names) {
      if (existsSync(join(directory, name))) return join(directory, name);
    }
  }
  throw new Error("no Chromium found: run `make setup`, or set LINGQU_CHROMIUM");
}

/** The demo's node, when it serves: its report, and how to stop it. */
export async function startDemo() {
  const directory = await mkdtemp(join(tmpdir(), "lingqu-e2e-"));
  const arguments_ = ["demo", "--dir", join(directory, "node"), "--json", "--serve", "--listen", "127.0.0.1:0"];
  const node = spawn(binary(), arguments_, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  node.stderr.on("data", (chunk) => {
    said = (said + chunk).slice(-4_000);
  });
  const ended = new Promise((resolve) => node.once("close", resolve));

  async function stop() {
    node.kill("SIGINT");
    const code = await ended;
    await rm(directory, { recursive: true, force: true });
    return code;
  }

  try {
    const report = await new Promise((resolve, reject) => {
      let text = "";
      const timer = setTimeout(() => reject(new Error(`the demo took too long; it said:\n${said}`)), DEMO_MS_MAX);
      node.stdout.on("data", (chunk) => {
        text += chunk;
        try {
          resolve(JSON.parse(text));
          clearTimeout(timer);
        } catch {
          // The object is not whole yet.
        }
      });
      node.once("error", reject);
      node.once("close", (code) => reject(new Error(`the demo ended with ${code}; it said:\n${said}`)));
    });
    const base = report.urls.console.replace(/\/$/, "");
    const page = await (await fetch(base)).text();
    if (!page.includes("/assets/")) throw new Error("this binary has no console: run `make web`, then build it again");
    return { report, base, directory, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A Chromium with a fresh profile. */
export function startBrowser() {
  return chromium.launch({
    executablePath: browserPath(),
    args: ["--no-sandbox", "--disable-background-networking"],
  });
}
