// The one map of pages.
import { createRootRoute, createRoute, createRouter } from "@tanstack/react-router";
import { Frame } from "./frame";
import { InboxPage } from "./pages/inbox";
import { JournalPage } from "./pages/journal";
import { LedgerPage } from "./pages/ledger";
import { LoginPage } from "./pages/login";
import { MarketPage } from "./pages/market";
import { NodePage } from "./pages/node";
import { OrderListPage } from "./pages/order/list";
import { OrderPage } from "./pages/order/page";
import { ProductPage } from "./pages/product";
import { RecordListPage } from "./pages/record/list";
import { RecordPage } from "./pages/record/page";
import { ResourceListPage } from "./pages/resource/list";
import { ResourcePage } from "./pages/resource/page";
import { NotFound } from "./parts/problem";

const text = (value: unknown): string | undefined => (typeof value === "string" && value ? value : undefined);
const tab = (search: Record<string, unknown>): { tab?: string } => ({ tab: text(search.tab) });
const state = (search: Record<string, unknown>): { state?: string } => ({ state: text(search.state) });

const root = createRootRoute({ notFoundComponent: NotFound });
const login = createRoute({
  getParentRoute: () => root,
  path: "/login",
  component: LoginPage,
  validateSearch: (search: Record<string, unknown>): { after?: string } => ({ after: text(search.after) }),
});
const frame = createRoute({ getParentRoute: () => root, id: "frame", component: Frame });
const inFrame = () => frame;

const pages = [
  createRoute({ getParentRoute: inFrame, path: "/", component: MarketPage }),
  createRoute({ getParentRoute: inFrame, path: "/products/$id", component: ProductPage, validateSearch: tab }),
  createRoute({ getParentRoute: inFrame, path: "/resources", component: ResourceListPage, validateSearch: state }),
  createRoute({ getParentRoute: inFrame, path: "/resources/$id", component: ResourcePage, validateSearch: tab }),
  createRoute({ getParentRoute: inFrame, path: "/orders", component: OrderListPage, validateSearch: state }),
  createRoute({ getParentRoute: inFrame, path: "/orders/$id", component: OrderPage, validateSearch: tab }),
  createRoute({
    getParentRoute: inFrame,
    path: "/ledger",
    component: LedgerPage,
    validateSearch: (search: Record<string, unknown>): { settlement?: string } => ({
      settlement: text(search.settlement),
    }),
  }),
  createRoute({
    getParentRoute: inFrame,
    path: "/journal",
    component: JournalPage,
    validateSearch: (search: Record<string, unknown>): { stream?: string; kind?: string } => ({
      stream: text(search.stream),
      kind: text(search.kind),
    }),
  }),
  createRoute({ getParentRoute: inFrame, path: "/inbox", component: InboxPage }),
  createRoute({ getParentRoute: inFrame, path: "/records/$kind", component: RecordListPage, validateSearch: state }),
  createRoute({ getParentRoute: inFrame, path: "/records/$kind/$id", component: RecordPage }),
  createRoute({ getParentRoute: inFrame, path: "/node", component: NodePage }),
] as const;

export const router = createRouter({
  routeTree: root.addChildren([login, frame.addChildren(pages)]),
  defaultPreload: false,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
