// One product: what it offers, at which precision, from which columns, under which permits, at which price.
import { Link, useParams, useSearch } from "@tanstack/react-router";
import { Alert, Descriptions, Space, Table, Tag } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { api, type Schemas } from "../api/client";
import { CommandButtons } from "../parts/commands";
import { HistoryLink } from "../parts/history";
import { Marking } from "../parts/marking";
import { Original } from "../parts/original";
import { Loaded } from "../parts/problem";
import { AddressTabs } from "../parts/tabs";
import { At, Id, NatureTag, PartyName, PrecisionName, StateTag } from "../parts/tags";
import { Title } from "../parts/title";
import { Prices } from "./market";
import { PlaceOrder } from "./order/place";

export function ProductPage() {
  const { id } = useParams({ from: "/frame/products/$id" });
  const { tab } = useSearch({ from: "/frame/products/$id" });
  const params = { params: { path: { id } } };
  const offer = api.useQuery("get", "/api/v1/products/{id}/offer", params);
  const entry = api.useQuery("get", "/api/v1/products/{id}", params);
  return (
    <Loaded query={offer}>
      {(offer) => <Loaded query={entry}>{(entry) => <Product offer={offer} entry={entry} tab={tab} />}</Loaded>}
    </Loaded>
  );
}

type Parts = { offer: Schemas["Offer"]; entry: Schemas["Entry_Product"] };

function Product({ offer, entry, tab }: Parts & { tab: string | undefined }) {
  const { t, i18n } = useTranslation();
  const { marking } = entry.body.details;
  const isEnglish = i18n.language === "en";
  const item = offer.item;
  return (
    <>
      <Title text={isEnglish ? item.name_en : item.name}>
        <NatureTag nature={item.nature} />
        <StateTag state={item.state} />
        <Id id={item.product} />
      </Title>
      <div className="stack">
        {item.refusal && (
          <Alert
            type="warning"
            showIcon
            title={t("market.unavailable")}
            description={isEnglish ? item.refusal_en : item.refusal}
          />
        )}
        <div className="page-title">
          <PlaceOrder offer={offer} />
          <CommandButtons choices={entry.commands} entity={entry.id} version={entry.stream_version} />
          <HistoryLink id={entry.id} />
        </div>
        <AddressTabs
          tab={tab}
          items={[
            { key: "overview", label: t("product.overview"), children: <Overview offer={offer} entry={entry} /> },
            { key: "columns", label: t("product.columns"), children: <Columns offer={offer} /> },
            { key: "lineage", label: t("product.lineage"), children: <Lineage offer={offer} /> },
            { key: "permits", label: t("product.permits"), children: <Permits offer={offer} /> },
            { key: "orders", label: t("product.orders"), children: <Orders product={item.product} /> },
            ...(marking ? [{ key: "marks", label: t("product.marks"), children: <Marking marking={marking} /> }] : []),
            { key: "sql", label: t("product.sql"), children: <pre className="block">{entry.body.details.sql}</pre> },
          ].filter((item) => item.key !== "sql" || entry.body.details.sql !== "")}
        />
      </div>
    </>
  );
}

function Overview({ offer, entry }: Parts) {
  const { t } = useTranslation();
  const item = offer.item;
  const details = entry.body.details;
  return (
    <div className="stack">
      <p>
        <Original text={item.summary} hint />
      </p>
      <Prices item={item} />
      <Descriptions
        bordered
        size="small"
        column={{ xs: 1, md: 2 }}
        items={[
          { key: "operator", label: t("market.operator"), children: <PartyName party={item.operator} /> },
          {
            key: "providers",
            label: t("market.providers"),
            children: (
              <Space wrap separator={t("app.separator")}>
                {item.providers.map((party) => (
                  <PartyName key={party.id} party={party} />
                ))}
              </Space>
            ),
          },
          {
            key: "modes",
            label: t("market.modes"),
            children: item.modes.map((mode) => <Tag key={mode}>{t(`mode.${mode}`)}</Tag>),
          },
          { key: "purposes", label: t("market.purposes"), children: item.purposes.join(t("app.separator")) || "—" },
          {
            key: "free",
            label: t("market.free_purposes"),
            children: item.free_purposes.join(t("app.separator")) || "—",
          },
          { key: "floor", label: t("market.floor"), children: item.cohort_floor },
          { key: "table", label: t("market.table"), children: <code>{item.table}</code> },
          { key: "key", label: t("product.key"), children: details.key.join(", ") || "—" },
          { key: "dimensions", label: t("product.dimensions"), children: details.dimensions.join(", ") || "—" },
          { key: "subject", label: t("product.subject"), children: details.subject ?? "—" },
          {
            key: "certificate",
            label: t("market.certificate"),
            children: item.certificate ? (
              <a href={`/public/certificates/${item.certificate}`} target="_blank" rel="noreferrer">
                {item.certificate}
              </a>
            ) : (
              "—"
            ),
          },
          { key: "until", label: t("market.until"), children: item.term ? <At at={item.term.until} /> : "—" },
        ].filter((row) => row.key !== "floor" || item.cohort_floor > 0)}
      />
    </div>
  );
}

function Columns({ offer }: { offer: Schemas["Offer"] }) {
  const { t } = useTranslation();
  return (
    <Table
      size="small"
      rowKey="name"
      pagination={false}
      scroll={{ x: "max-content" }}
      dataSource={offer.columns}
      columns={[
        { title: t("product.column"), dataIndex: "name", render: (name: string) => <code>{name}</code> },
        { title: t("product.type"), dataIndex: "data_type", render: (type: string) => t(`type.${type}`) },
        ...offer.item.modes.map((mode) => ({
          title: t(`mode.${mode}`),
          key: mode,
          render: (_: unknown, column: Schemas["OfferedColumn"]) => (
            <PrecisionName precision={column.precisions[mode] ?? "hidden"} />
          ),
        })),
      ]}
    />
  );
}

type LineageRow = Schemas["LineageItem"] & { key: string; output: string; computed: boolean };

function Lineage({ offer }: { offer: Schemas["Offer"] }) {
  const { t } = useTranslation();
  const rows: LineageRow[] = offer.columns.flatMap((column) =>
    column.lineage.map((item) => ({
      ...item,
      key: `${column.name}/${item.table}/${item.column}`,
      output: column.name,
      computed: column.computed,
    })),
  );
  const source = [
    {
      title: t("product.source"),
      key: "source",
      render: (_: unknown, row: Schemas["LineageItem"]) => (
        <Link to="/resources/$id" params={{ id: row.resource }}>
          <Original text={row.resource_name || row.resource} />
        </Link>
      ),
    },
    {
      title: t("product.sourceColumn"),
      key: "column",
      render: (_: unknown, row: Schemas["LineageItem"]) => <code>{`${row.table}.${row.column}`}</code>,
    },
    { title: t("product.meaning"), dataIndex: "meaning", render: (meaning: string) => <Original text={meaning} /> },
    {
      title: t("product.grade"),
      dataIndex: "grade",
      render: (grade: string | undefined) => (grade ? t(`grade.${grade}`) : "—"),
    },
  ];
  return (
    <div className="stack">
      <Table<LineageRow>
        size="small"
        pagination={false}
        scroll={{ x: "max-content" }}
        dataSource={rows}
        columns={[
          { title: t("product.column"), dataIndex: "output", render: (name: string) => <code>{name}</code> },
          {
            title: "",
            dataIndex: "computed",
            render: (computed: boolean) => <Tag>{computed ? t("product.computed") : t("product.asIs")}</Tag>,
          },
          ...source,
        ]}
      />
      {offer.conditions.length > 0 && (
        <>
          <h3>{t("product.conditions")}</h3>
          <Table<Schemas["LineageItem"]>
            size="small"
            rowKey={(row) => `${row.table}.${row.column}`}
            pagination={false}
            scroll={{ x: "max-content" }}
            dataSource={offer.conditions}
            columns={source}
          />
        </>
      )}
    </div>
  );
}

function Permits({ offer }: { offer: Schemas["Offer"] }) {
  const { t } = useTranslation();
  return (
    <Table<Schemas["OfferPermit"]>
      size="small"
      rowKey={(row) => `${row.id}/${row.resource}`}
      pagination={false}
      scroll={{ x: "max-content" }}
      dataSource={offer.permits}
      columns={[
        {
          title: t("product.scenario"),
          key: "scenario",
          render: (_, row) => (
            <RecordLink kind="permit" id={row.id} open={row.permit_open}>
              <Original text={row.scenario} />
            </RecordLink>
          ),
        },
        { title: t("inbox.state"), dataIndex: "state", render: (state: string) => <StateTag state={state} /> },
        {
          title: t("product.resource"),
          dataIndex: "resource_name",
          render: (name: string) => <Original text={name} />,
        },
        {
          title: t("product.mandate"),
          key: "mandate",
          render: (_, row) => (
            <Space>
              <RecordLink kind="mandate" id={row.mandate} open={row.mandate_open}>
                <Original text={row.mandate_name || row.mandate} />
              </RecordLink>
              <StateTag state={row.mandate_state} />
            </Space>
          ),
        },
      ]}
    />
  );
}

/** A link to an entity's page for those who may open it; its name alone for everybody else. */
function RecordLink({ kind, id, open, children }: { kind: string; id: string; open: boolean; children: ReactNode }) {
  if (!open) return <span>{children}</span>;
  return (
    <Link to="/records/$kind/$id" params={{ kind, id }}>
      {children}
    </Link>
  );
}

function Orders({ product }: { product: string }) {
  const { t } = useTranslation();
  const query = api.useQuery("get", "/api/v1/orders", { params: { query: { limit: 200 } } });
  return (
    <Loaded query={query}>
      {(page) => (
        <Table<Schemas["Entry_Order"]>
          scroll={{ x: "max-content" }}
          size="small"
          rowKey="id"
          pagination={false}
          dataSource={page.items.filter((entry) => entry.body.details.product === product)}
          locale={{ emptyText: t("order.empty") }}
          columns={[
            {
              title: t("kind.order"),
              key: "id",
              render: (_, entry) => (
                <Link to="/orders/$id" params={{ id: entry.id }}>
                  {entry.id}
                </Link>
              ),
            },
            {
              title: t("order.purpose"),
              key: "purpose",
              render: (_, entry) => <code>{entry.body.details.purpose}</code>,
            },
            { title: t("inbox.state"), dataIndex: "state", render: (state: string) => <StateTag state={state} /> },
          ]}
        />
      )}
    </Loaded>
  );
}
