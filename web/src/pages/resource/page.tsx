// One resource: overview, dictionary, quality and tickets, registration, snapshots.
import { useParams, useSearch } from "@tanstack/react-router";
import { Descriptions, Table } from "antd";
import { useTranslation } from "react-i18next";
import { api, type Schemas } from "../../api/client";
import { CommandButtons } from "../../parts/commands";
import { HistoryLink } from "../../parts/history";
import { Original } from "../../parts/original";
import { useNameOf } from "../../parts/parties";
import { Loaded } from "../../parts/problem";
import { AddressTabs } from "../../parts/tabs";
import { Id, NatureTag, StateTag } from "../../parts/tags";
import { Title } from "../../parts/title";
import { Downstream } from "./downstream";
import { Quality } from "./quality";
import { RegistrationTab } from "./registration";
import { Snapshots } from "./snapshots";

type Entry = Schemas["Entry_Resource"];

export function ResourcePage() {
  const { id } = useParams({ from: "/frame/resources/$id" });
  const query = api.useQuery("get", "/api/v1/resources/{id}", { params: { path: { id } } });
  return <Loaded query={query}>{(entry) => <Resource entry={entry} />}</Loaded>;
}

function Resource({ entry }: { entry: Entry }) {
  const { t, i18n } = useTranslation();
  const { tab } = useSearch({ from: "/frame/resources/$id" });
  const details = entry.body.details;
  return (
    <>
      <Title text={i18n.language === "en" ? details.name_en : details.name}>
        <NatureTag nature={details.nature} />
        <StateTag state={entry.state} />
        <Id id={entry.id} />
        <HistoryLink id={entry.id} />
      </Title>
      <div className="stack">
        <CommandButtons choices={entry.commands} entity={entry.id} version={entry.stream_version} />
        <AddressTabs
          tab={tab}
          items={[
            { key: "overview", label: t("resource.overview"), children: <Overview entry={entry} /> },
            { key: "dictionary", label: t("resource.dictionary"), children: <Dictionary entry={entry} /> },
            { key: "quality", label: t("resource.quality"), children: <Quality resource={entry.id} /> },
            { key: "registration", label: t("resource.registration"), children: <RegistrationTab entry={entry} /> },
            { key: "snapshots", label: t("resource.snapshots"), children: <Snapshots resource={entry.id} /> },
            {
              key: "lineage",
              label: t("lineage.title"),
              children: <Downstream resource={entry.id} columns={details.columns.map((column) => column.name)} />,
            },
          ]}
        />
      </div>
    </>
  );
}

function Overview({ entry }: { entry: Entry }) {
  const { t } = useTranslation();
  const nameOf = useNameOf();
  const details = entry.body.details;
  const sharing = typeof details.sharing === "string" ? details.sharing : Object.keys(details.sharing)[0];
  const cycle = details.update_cycle_days;
  return (
    <div className="stack">
      <p>
        <Original text={details.summary} hint />
      </p>
      <Descriptions
        bordered
        size="small"
        column={{ xs: 1, md: 2 }}
        items={[
          { key: "provider", label: t("resource.provider"), children: nameOf(entry.body.provider) },
          { key: "division", label: t("resource.division"), children: details.division },
          { key: "table", label: t("market.table"), children: <code>{details.table}</code> },
          { key: "source", label: t("resource.source"), children: <Original text={details.source} /> },
          { key: "basis", label: t("resource.basis"), children: <Original text={details.basis} /> },
          { key: "sharing", label: t("resource.sharing"), children: t(`resource.${sharing}`) },
          { key: "openness", label: t("resource.openness"), children: t(`resource.open_${details.openness}`) },
          {
            key: "cycle",
            label: t("resource.cycle"),
            children: cycle === 0 ? t("resource.notUpdated") : t("resource.days", { count: cycle }),
          },
          { key: "key", label: t("product.key"), children: details.key.join(", ") || "—" },
          {
            key: "keyNamesSubject",
            label: t("resource.keyNamesSubject"),
            children: t(details.key_names_subject ? "resource.yes" : "resource.no"),
          },
          { key: "subject", label: t("product.subject"), children: details.subject ?? "—" },
          {
            key: "personal",
            label: t("resource.personalBasis"),
            children: <Original text={details.personal_basis ?? "—"} />,
          },
        ]}
      />
    </div>
  );
}

function Dictionary({ entry }: { entry: Entry }) {
  const { t } = useTranslation();
  return (
    <Table<Schemas["Column"]>
      size="small"
      rowKey="name"
      pagination={false}
      scroll={{ x: "max-content" }}
      dataSource={entry.body.details.columns}
      columns={[
        { title: t("product.column"), dataIndex: "name", render: (name: string) => <code>{name}</code> },
        { title: t("product.type"), dataIndex: "data_type", render: (type: string) => t(`type.${type}`) },
        { title: t("product.meaning"), dataIndex: "meaning", render: (meaning: string) => <Original text={meaning} /> },
        { title: t("product.grade"), dataIndex: "grade", render: (grade: string) => t(`grade.${grade}`) },
      ]}
    />
  );
}
