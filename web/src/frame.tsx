// What surrounds every page: navigation, who is signed in, the language.
import { Link, Outlet, useLocation, useNavigate } from "@tanstack/react-router";
import { Button, Layout } from "antd";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { isProblem, rememberToken } from "./api/client";
import { switchLanguage } from "./i18n";
import { Original } from "./parts/original";
import { ProblemView, Waiting } from "./parts/problem";
import { type Session, SessionProvider, useSessionQuery, useSignOut } from "./session";

export function Frame() {
  const query = useSessionQuery();
  if (query.isPending) return <Waiting />;
  if (query.error) {
    if (isProblem(query.error) && query.error.status === 401) {
      return <ToLogin />;
    }
    return <ProblemView error={query.error} retry={() => void query.refetch()} />;
  }
  // Set before any page of the frame can give a command.
  rememberToken(query.data.csrf);
  return (
    <SessionProvider value={query.data}>
      <Shell session={query.data} />
    </SessionProvider>
  );
}

/** Goes to the login page once, which then leads back here. */
function ToLogin() {
  const navigate = useNavigate();
  useEffect(() => {
    const asked = window.location.pathname + window.location.search;
    void navigate({ to: "/login", search: asked === "/" ? {} : { after: asked }, replace: true });
  }, [navigate]);
  return <Waiting />;
}

function Shell({ session }: { session: Session }) {
  const { t, i18n } = useTranslation();
  const isEnglish = i18n.language === "en";
  // One entry leads to all registers, so it is marked in each of them.
  const isRecord = useLocation().pathname.startsWith("/records/");
  return (
    <Layout className="frame">
      <a className="skip" href="#content">
        {t("app.skip")}
      </a>
      <Layout.Header className="frame-head">
        <Link to="/" className="brand">
          {t("app.name")}
        </Link>
        <nav aria-label={t("app.title")}>
          <Link to="/" activeOptions={{ exact: true }} activeProps={{ className: "active" }}>
            {t("nav.market")}
          </Link>
          <Link to="/resources" activeProps={{ className: "active" }}>
            {t("nav.resources")}
          </Link>
          <Link to="/orders" activeProps={{ className: "active" }}>
            {t("nav.orders")}
          </Link>
          <Link to="/ledger" activeProps={{ className: "active" }}>
            {t("nav.ledger")}
          </Link>
          <Link to="/inbox" activeProps={{ className: "active" }}>
            {t("nav.inbox")}
          </Link>
          <Link to="/records/$kind" params={{ kind: "mandate" }} className={isRecord ? "active" : undefined}>
            {t("nav.records")}
          </Link>
          <Link to="/journal" activeProps={{ className: "active" }}>
            {t("nav.journal")}
          </Link>
          <Link to="/node" activeProps={{ className: "active" }}>
            {t("nav.node")}
          </Link>
        </nav>
        <User session={session} />
        <Button
          size="small"
          ghost
          lang={isEnglish ? "zh-CN" : "en"}
          onClick={() => switchLanguage(isEnglish ? "zh-CN" : "en")}
        >
          {t("app.language")}
        </Button>
      </Layout.Header>
      <Layout.Content className="frame-body" id="content">
        <Outlet />
      </Layout.Content>
      <Layout.Footer className="frame-foot">{t("app.footer")}</Layout.Footer>
    </Layout>
  );
}

function User({ session }: { session: Session }) {
  const { t, i18n } = useTranslation();
  const signOut = useSignOut();
  const party = i18n.language === "en" ? session.party_name_en : session.party_name;
  return (
    <div className="frame-user">
      <span>
        <Original text={session.display_name} />
        <small>
          {party} · {session.duties.map((duty) => t(`duty.${duty}`)).join(" ")}
        </small>
      </span>
      <Button size="small" ghost onClick={() => void signOut()}>
        {t("app.signOut")}
      </Button>
    </div>
  );
}
