// 操作日志: every decision with when, who and on what. Those who supervise see all of it, everybody else the history of what he
// may open.
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Button, Input, Select, Space, Table } from "antd";
import { useTranslation } from "react-i18next";
import { fetchClient, type Schemas } from "../api/client";
import { count } from "../format";
import { Actor } from "../parts/actor";
import { EntityTitle } from "../parts/original";
import { More, usePages } from "../parts/pages";
import { Loaded } from "../parts/problem";
import { At, Id } from "../parts/tags";
import { Title } from "../parts/title";
import { StepLink } from "./order/journey";

type Event = Schemas["JournalEvent"];

/** Kinds of entity that events happen to, in the order of the life of data. */
export const ENTITIES = [
  "node",
  "party",
  "user",
  "resource",
  "quality_report",
  "ticket",
  "registration",
  "right",
  "supply",
  "plan",
  "mandate",
  "permit",
  "product",
  "permitted_revenue",
  "order",
  "consent",
  "meter",
  "settlement",
  "trace",
  "erasure",
] as const;

export function JournalPage() {
  const { t } = useTranslation();
  const { stream, kind } = useSearch({ from: "/frame/journal" });
  const query = usePages<Event>(["journal", stream, kind], async (cursor) => {
    const before = cursor === undefined ? undefined : Number(cursor);
    const asked = { newest_first: true, limit: 50, before, stream, kind };
    const { data, error } = await fetchClient.GET("/api/v1/journal", { params: { query: asked } });
    if (!data) return { error };
    return { data: { items: data.items, next_cursor: data.next_before?.toString() } };
  });
  return (
    <>
      <Title text={t("nav.journal")} />
      <div className="stack">
        <p>{t("journal.hint")}</p>
        <Filter />
        <Loaded query={query}>{(events) => <Events events={events} />}</Loaded>
        <More query={query} />
      </div>
    </>
  );
}

function Filter() {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { stream, kind } = useSearch({ from: "/frame/journal" });
  return (
    <Space wrap>
      <Select
        aria-label={t("journal.entity")}
        style={{ minWidth: 160 }}
        value={kind ?? ""}
        onChange={(next) => void navigate({ to: "/journal", search: { stream, kind: next || undefined } })}
        options={[
          { value: "", label: t("journal.allKinds") },
          ...ENTITIES.map((entity) => ({ value: entity, label: t(`kind.${entity}`) })),
        ]}
      />
      <Input.Search
        key={stream ?? ""}
        aria-label={t("journal.stream")}
        placeholder={t("journal.stream")}
        defaultValue={stream}
        enterButton={t("journal.search")}
        style={{ maxWidth: 420 }}
        onSearch={(text) => void navigate({ to: "/journal", search: { stream: text.trim() || undefined, kind } })}
      />
      {(stream || kind) && (
        <Button onClick={() => void navigate({ to: "/journal", search: {} })}>{t("record.all")}</Button>
      )}
    </Space>
  );
}

function Events({ events }: { events: Event[] }) {
  const { t } = useTranslation();
  return (
    <Table<Event>
      size="small"
      rowKey="position"
      pagination={false}
      scroll={{ x: "max-content" }}
      dataSource={events}
      locale={{ emptyText: t("journal.empty") }}
      expandable={{
        rowExpandable: (event) => event.body !== undefined,
        expandedRowRender: (event) => <pre className="block">{JSON.stringify(event.body, null, 2)}</pre>,
        showExpandColumn: events.some((event) => event.body !== undefined),
      }}
      columns={[
        {
          title: t("journal.position"),
          dataIndex: "position",
          align: "right",
          render: (position: number) => <span className="money">{count(position)}</span>,
        },
        { title: t("order.at"), dataIndex: "at", render: (at: string) => <At at={at} /> },
        { title: t("order.what"), dataIndex: "kind", render: (kind: string) => <EventName kind={kind} /> },
        { title: t("journal.object"), key: "object", render: (_, event) => <Target event={event} /> },
        { title: t("order.who"), key: "who", render: (_, event) => <Actor event={event} /> },
      ]}
    />
  );
}

function EventName({ kind }: { kind: string }) {
  const { t } = useTranslation();
  return <span title={kind}>{t(`event.${kind}`, { defaultValue: kind })}</span>;
}

function Target({ event }: { event: Event }) {
  const { t } = useTranslation();
  const name = <EntityTitle id={event.stream} title={event.title} />;
  return (
    <Space wrap size={[8, 0]}>
      <span>{t(`kind.${event.entity}`, { defaultValue: event.entity })}</span>
      {event.open ? (
        <StepLink kind={event.entity} id={event.stream}>
          {name}
        </StepLink>
      ) : (
        <span>{name}</span>
      )}
      <Link to="/journal" search={{ stream: event.stream }} title={t("journal.history")}>
        <Id id={event.stream} plain />
      </Link>
    </Space>
  );
}
