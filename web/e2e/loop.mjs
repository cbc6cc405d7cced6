// The loop in a real Chromium: sign in, market, product, order, receipts, ledger; suspend the mandate in the console and
// see the next request for data refused; resume; its history; order and sign; keys of marks; English. With LINGQU_SCREENSHOTS=DIR a picture of each page is kept.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { binary, startBrowser, startDemo } from "./demo.mjs";

const CLAIMED = "flight_delay_check";

let pictures = 0;

async function picture(page, name) {
  const directory = process.env.LINGQU_SCREENSHOTS;
  if (!directory) return;
  await mkdir(directory, { recursive: true });
  pictures += 1;
  await page.waitForLoadState("networkidle");
  await page.waitForFunction(() => document.querySelectorAll('[role="status"]').length === 0);
  const path = join(directory, `${String(pictures).padStart(2, "0")}-${name}.png`);
  await page.screenshot({ path, fullPage: true });
}

/** Asks for data as the consumer's program would. */
async function askForData(base, order) {
  const path = order.modes.includes("statistics") ? "query" : "rows?limit=1";
  const init = { headers: { Authorization: `Bearer ${order.key}` } };
  if (path === "query") {
    init.method = "POST";
    init.headers["Content-Type"] = "application/json";
    init.body = JSON.stringify({ sql: `SELECT count(*) FROM ${order.product}` });
  }
  const answer = await fetch(`${base}/data/v1/${order.product}/${path}`, init);
  const text = await answer.text();
  return { status: answer.status, code: answer.ok ? null : JSON.parse(text).code };
}

async function signIn(page, base, login, password) {
  await page.goto(base);
  await page.waitForURL("**/login**");
  await page.getByLabel("用户名").fill(login);
  await page.getByLabel("密码").fill("不是这个密码");
  await page.getByRole("button", { name: /登\s*录/ }).click();
  await page.getByText("用户名或密码错误").waitFor();
  await picture(page, "login-refused");
  await page.getByLabel("密码").fill(password);
  await page.getByRole("button", { name: /登\s*录/ }).click();
  await page.getByRole("heading", { name: "数据产品超市" }).waitFor();
}

async function market(page, report) {
  const cards = page.locator(".cards > li");
  await cards.first().waitFor();
  assert.ok((await cards.count()) >= 3, "the market shows the demo's products");
  const text = await page.locator(".cards").textContent();
  assert.match(text, /真实数据 REAL/);
  assert.match(text, /合成数据 SYNTHETIC/);
  assert.match(text, /上限收费标准/);
  await picture(page, "market");
  assert.ok(report.orders.length > 0);
}

/** Opens the product that an order is for, through its card, and from there the order. */
async function productAndOrder(page, base, order) {
  const cards = page.locator(".cards > li");
  for (let number = 0; number < (await cards.count()); number += 1) {
    await cards.nth(number).getByRole("link").first().click();
    await page.getByRole("tab", { name: "概览" }).waitFor();
    if ((await page.locator("td code").allInnerTexts()).includes(order.product)) break;
    await page.goto(base);
    await cards.first().waitFor();
  }
  assert.ok((await page.locator("td code").allInnerTexts()).includes(order.product), "the product has a card");
  await picture(page, "product");
  await page.getByRole("tab", { name: "输出字段与精度" }).click();
  await page.getByRole("columnheader", { name: "字段" }).first().waitFor();
  await picture(page, "product-columns");
  await page.getByRole("tab", { name: "血缘" }).click();
  await page.getByRole("columnheader", { name: "来源字段" }).first().waitFor();
  await picture(page, "product-lineage");
  await page.getByRole("tab", { name: "场景授权" }).click();
  await page.getByRole("columnheader", { name: "应用场景" }).waitFor();
  await picture(page, "product-permits");
  await page.getByRole("tab", { name: "本产品的订单" }).click();
  await page.getByRole("link", { name: order.id }).click();
}

async function journeyAndReceipts(page) {
  await page.getByText("使用授权有效").waitFor();
  const steps = page.locator("section[data-step]");
  await steps.first().waitFor();
  const kinds = await steps.evaluateAll((found) => found.map((step) => step.dataset.step));
  for (const kind of [
    "resource",
    "registration",
    "supply",
    "plan",
    "mandate",
    "permit",
    "product",
    "order",
    "meter",
    "settlement",
  ]) {
    assert.ok(kinds.includes(kind), `the journey shows ${kind}: ${kinds}`);
  }
  await picture(page, "order-journey");
  await page.getByRole("tab", { name: "交付回执" }).click();
  await page.getByText("已交付").first().waitFor();
  await picture(page, "order-receipts");
  await page.getByRole("tab", { name: "合同与配额" }).click();
  await page.getByText("条款摘要").waitFor();
  await picture(page, "order-contract");
  await page.getByRole("tab", { name: "取数示例" }).click();
  await page.getByText("Authorization: Bearer").first().waitFor();
  await picture(page, "order-access");
}

async function evidence(page) {
  const downloading = page.waitForEvent("download");
  await page.getByRole("link", { name: "下载证据包" }).click();
  const download = await downloading;
  assert.match(download.suggestedFilename(), /^ord_.*\.evidence$/);
}

async function ledger(page) {
  await page.getByRole("link", { name: "账簿" }).click();
  await page.locator('[data-balanced="true"]').waitFor();
  await page.getByText("借贷平衡，分毫不差").waitFor();
  const text = await page.locator("#content").textContent();
  assert.match(text, /缴款凭证/);
  assert.match(text, /合计/);
  await picture(page, "ledger");
}

/** Opens the order and from its journey the mandate. */
async function openMandate(page, base, order) {
  await page.goto(`${base}/orders/${order.id}`);
  await page.locator('section[data-step="mandate"] a').first().click();
  await page.getByText("办理", { exact: true }).first().waitFor();
}

async function give(page, command, reason) {
  await page.locator(`button[data-command="${command}"]`).click();
  const form = page.getByRole("dialog");
  await form.getByLabel("理由").fill(reason);
  await picture(page, command);
  await form.getByRole("button", { name: /确\s*定/ }).click();
  await form.waitFor({ state: "hidden" });
}

async function suspendAndResume(page, base, orders) {
  const order = orders[0];
  for (const each of orders) {
    assert.deepEqual(await askForData(base, each), { status: 200, code: null }, each.product);
  }
  await openMandate(page, base, order);
  await picture(page, "mandate");
  const resume = page.locator('button[data-command="resume_mandate"]');
  assert.ok(await resume.isDisabled(), "what can't be done now is shown and disabled");
  await give(page, "suspend_mandate", "浏览器测试：专项检查");
  await page.getByText("已中止").first().waitFor();
  for (const each of orders) {
    assert.deepEqual(await askForData(base, each), { status: 403, code: "grant_suspended" }, each.product);
  }
  await page.goto(`${base}/orders/${order.id}`);
  await page.getByText("使用授权未生效").waitFor();
  assert.match(await page.locator(".ant-alert").first().textContent(), /专项检查/);
  await picture(page, "order-suspended");
  await page.getByRole("link", { name: "待办" }).click();
  await page.locator('button[data-command="resume_mandate"]').first().waitFor();
  await picture(page, "inbox");
  await openMandate(page, base, order);
  await give(page, "resume_mandate", "浏览器测试：已整改");
  await page.locator('button[data-command="suspend_mandate"]:enabled').waitFor();
  for (const each of orders) {
    assert.deepEqual(await askForData(base, each), { status: 200, code: null }, each.product);
  }
}

async function resources(page) {
  await page.getByRole("link", { name: "公共数据资源" }).click();
  await page.getByRole("columnheader", { name: "行数" }).waitFor();
  await picture(page, "resources");
  await page.locator("tbody a").filter({ hasText: "离港航班" }).first().click();
  for (const [tab, seen] of [
    ["字段字典", "分级"],
    // The flights without a departure time, as the raw file has them.
    ["质量与工单", "8,255"],
    ["登记", "登记凭证"],
    ["快照版本", "来源文件摘要"],
    // Every delivery of the demo that used the first column, with its consumer.
    ["数据血缘", "由该字段得到数据的使用方"],
  ]) {
    await page.getByRole("tab", { name: tab }).click();
    await page.getByText(seen).first().waitFor();
    await picture(page, `resource-${tab}`);
  }
  await page.getByRole("tab", { name: "登记" }).click();
  const address = await page.locator('a[href^="/public/certificates/"]').first().getAttribute("href");
  return address;
}

async function certificate(page, base, address) {
  await page.goto(base + address);
  await page.getByRole("heading", { name: "登记凭证" }).waitFor();
  assert.equal(await page.locator("figure svg").count(), 1);
  await picture(page, "certificate");
  await page.goto(base);
}

/** The mandate's history, from its page: what was done to it above is in the journal. */
async function journal(page, base, order) {
  await openMandate(page, base, order);
  await page.getByRole("link", { name: "办理记录" }).click();
  await page.getByRole("heading", { name: "操作日志" }).waitFor();
  await page.getByText("恢复授权").first().waitFor();
  const rows = await page.locator("tbody tr.ant-table-row").allInnerTexts();
  assert.match(rows[0], /恢复授权[\s\S]*授权/, "the newest stands first");
  assert.match(rows[1], /中止授权/);
  await picture(page, "journal-mandate");
  await page.getByRole("button", { name: /全\s*部/ }).click();
  await page.getByText("订单").nth(1).waitFor();
  await picture(page, "journal");
}

/** A page of a user in a context of its own. */
async function sessionOf(browser, base, report, login) {
  const known = report.logins.find((each) => each.login === login);
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "zh-CN" });
  const page = await context.newPage();
  await page.goto(base);
  await page.getByLabel("用户名").fill(login);
  await page.getByLabel("密码").fill(known.password);
  await page.getByRole("button", { name: /登\s*录/ }).click();
  await page.getByRole("heading", { name: "数据产品超市" }).waitFor();
  return page;
}

/** Signs the contract of the order at an address. */
async function sign(page, address) {
  await page.goto(address);
  await page.locator('button[data-command="sign_contract"]').click();
  await page
    .getByRole("dialog")
    .getByRole("button", { name: /确\s*定/ })
    .click();
  await page.locator('button[data-command="sign_contract"]:disabled').waitFor();
}

/** A consumer orders a marked product; the auditor answers the node's request with its half and hands the shares in. */
async function marks(browser, base, report, directory) {
  const handler = await sessionOf(browser, base, report, "consultancy.handler");
  await handler.locator(".cards > li").filter({ hasText: "航班时刻数据集" }).getByRole("link").first().click();
  await handler.getByRole("tab", { name: "指纹水印" }).click();
  await handler.locator("[data-marking]").getByText("±1 分钟").first().waitFor();
  assert.equal(await handler.locator("[data-marking]").getByText("20 %", { exact: true }).count(), 2);
  await picture(handler, "product-marks");
  await handler.locator('button[data-command="place_order"]').click();
  await handler.getByRole("dialog").getByRole("button", { name: "提交订单" }).click();
  await handler.getByText("已下单").first().waitFor();
  const address = handler.url();
  for (const login of ["consultancy.approver", "operator.approver"]) {
    const signer = await sessionOf(browser, base, report, login);
    await sign(signer, address);
    await signer.context().close();
  }
  await handler.goto(address);
  await handler.locator('[data-mark-keys="awaited"]').waitFor();
  assert.ok(
    await handler.locator('button[data-command="give_key_shares"]').isDisabled(),
    "the auditor alone gives shares",
  );

  const auditor = await sessionOf(browser, base, report, "audit.approver");
  await auditor.goto(address);
  await picture(auditor, "keys-awaited");
  const downloading = auditor.waitForEvent("download");
  await auditor.getByRole("link", { name: "下载请求" }).click();
  const [request, shares] = ["request.json", "shares.json"].map((name) => join(directory, name));
  await (await downloading).saveAs(request);
  const half = join(directory, "node", "auditor-half.key");
  execFileSync(binary(), ["regulator", "share", half, "--request", request, "--out", shares]);
  const upload = auditor.locator('[data-mark-keys] input[type="file"]');
  await upload.setInputFiles(half);
  await auditor.getByText("这不是 lingqu regulator share 生成的文件").waitFor();
  await upload.setInputFiles(shares);
  await auditor.locator('[data-mark-keys="given"]').getByText("审计机关（示范）").waitFor();
  await picture(auditor, "keys-given");
  await handler.context().close();
  await auditor.context().close();
}

/** A handler of the consumer orders a product, its approver signs the contract. */
async function placeAndSign(browser, base, report) {
  const handler = await sessionOf(browser, base, report, "insurer.handler");
  await handler.locator(".cards > li").filter({ hasText: "核验" }).last().getByRole("link").first().click();
  await handler.locator('button[data-command="place_order"]').click();
  const form = handler.getByRole("dialog");
  await form.getByLabel("调用配额").fill("25");
  await picture(handler, "place-order");
  await form.getByRole("button", { name: "提交订单" }).click();
  await handler.getByText("已下单").first().waitFor();
  await handler.getByRole("cell", { name: "25", exact: true }).waitFor();
  await picture(handler, "order-placed");
  assert.ok(await handler.locator('button[data-command="sign_contract"]').isDisabled(), "who ordered does not sign");
  const approver = await sessionOf(browser, base, report, "insurer.approver");
  await sign(approver, handler.url());
  await handler.context().close();
  await approver.context().close();
}

async function english(page) {
  await page.getByRole("button", { name: "English" }).click();
  await page.getByRole("heading", { name: "Market" }).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), "en");
  const navigation = await page.locator("nav").textContent();
  assert.doesNotMatch(navigation, /[\u4e00-\u9fff]/, "nothing of the navigation stays Chinese");
  await picture(page, "market-english");
  await page.getByRole("link", { name: "Node" }).click();
  await page.getByText("Checkpoint of the log").waitFor();
  await page.getByText("Journal position").waitFor();
  const lag = await page.locator("tr", { hasText: "Behind the records by" }).textContent();
  assert.match(lag, /(nothing|[\d,]+ s: [\d,]+ receipts, [\d,]+ entries)$/, "the page says how far the log is behind");
  await picture(page, "node-english");
}

async function narrow(page, base, order) {
  await page.setViewportSize({ width: 320, height: 800 });
  for (const path of ["/", `/orders/${order.id}`, "/ledger", "/inbox", "/journal"]) {
    await page.goto(base + path);
    await page.waitForLoadState("networkidle");
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 320, `${path} is ${width} pixels wide at 320`);
  }
  await page.goto(base);
  await picture(page, "market-narrow");
}

const demo = await startDemo();
const browser = await startBrowser();
try {
  const { report, base } = demo;
  const login = report.logins.find((each) => each.login === "implementer.approver");
  assert.ok(login, "the demo has an approver of the implementer");
  // Orders whose data is asked for without knowing a row: statistics and rows.
  const orders = report.orders.filter((order) => order.modes.some((mode) => mode === "statistics" || mode === "rows"));
  assert.ok(orders.length > 0, "the demo has such orders");
  const order = report.orders.find((each) => each.product === CLAIMED) ?? orders[0];

  const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, locale: "zh-CN" });
  const faults = [];
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("console", (message) => {
    // Chromium reports each answer of 4xx as an error of its own; the page shows those to the user.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      faults.push(message.text());
  });

  await signIn(page, base, login.login, login.password);
  await market(page, report);
  await productAndOrder(page, base, order);
  await journeyAndReceipts(page);
  await evidence(page);
  await ledger(page);
  await suspendAndResume(page, base, orders);
  await journal(page, base, order);
  await placeAndSign(browser, base, report);
  await marks(browser, base, report, demo.directory);
  const address = await resources(page);
  await certificate(page, base, address);
  await english(page);
  await narrow(page, base, order);
  assert.deepEqual(faults, [], "no page failed on the way");
  console.log(
    "the loop in Chromium: sign-in, market, product, order, receipts, ledger, suspension, journal, ordering, keys of marks, English: all well",
  );
} finally {
  await browser.close();
  await demo.stop();
}
