// How copies of a product are marked, as its marking says: which columns move together, how far, how often.
import { Alert, Descriptions, Table } from "antd";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../api/client";
import { share } from "../format";

type Mark = Schemas["Mark"];

/** The columns that one bit of a mark moves. */
export function columnsOf(mark: Mark): string[] {
  const { carrier } = mark;
  if ("number" in carrier) return carrier.number.members.map((member) => member.column);
  if ("place" in carrier) return [carrier.place.latitude, carrier.place.longitude];
  return [carrier.category.column];
}

/** How far each of its columns moves, in its own unit. */
function useReach(): (mark: Mark) => string[] {
  const { t } = useTranslation();
  return ({ carrier }) => {
    if ("place" in carrier) return [t("marking.metres", { count: carrier.place.metres })];
    if ("category" in carrier) return [t("marking.sets", { count: carrier.category.sets.length })];
    return carrier.number.members.map(({ coefficient, encoding }) => {
      const steps = carrier.number.amplitude * Math.abs(coefficient);
      if (encoding === "hours_minutes") return t("marking.minutes", { count: steps });
      if ("time" in encoding) return t("marking.seconds", { count: steps * Number(encoding.time.step) });
      return t("marking.units", { amount: steps * Number(encoding.lattice.step) });
    });
  };
}

export function Marking({ marking }: { marking: Schemas["Marking"] }) {
  const { t } = useTranslation();
  const reachOf = useReach();
  return (
    <div className="stack" data-marking={marking.profile}>
      <Alert type="info" showIcon title={t("marking.says")} description={t("marking.how")} />
      <Table<Mark>
        size="small"
        rowKey="name"
        pagination={false}
        scroll={{ x: "max-content" }}
        dataSource={marking.marks ?? []}
        columns={[
          { title: t("marking.name"), dataIndex: "name", render: (name: string) => <code>{name}</code> },
          {
            title: t("marking.columns"),
            key: "columns",
            render: (_, mark) => columnsOf(mark).map((column) => <div key={column}>{<code>{column}</code>}</div>),
          },
          {
            title: t("marking.reach"),
            key: "reach",
            render: (_, mark) => reachOf(mark).map((reach, place) => <div key={columnsOf(mark)[place]}>{reach}</div>),
          },
          {
            title: t("marking.by"),
            dataIndex: "by",
            render: (by: string[] | undefined) => (by?.length ? <code>{by.join(", ")}</code> : t("marking.byRow")),
          },
          { title: t("marking.rate"), dataIndex: "rate_per_million", render: (rate: number) => share(rate) },
        ]}
      />
      <Descriptions
        bordered
        size="small"
        column={{ xs: 1, md: 2 }}
        items={[
          { key: "profile", label: t("marking.profile"), children: <code>{marking.profile}</code> },
          { key: "omitted", label: t("marking.omitted"), children: share(marking.omitted_per_million ?? 0) },
          { key: "decoys", label: t("marking.decoys"), children: share(marking.decoys_per_million ?? 0) },
        ]}
      />
    </div>
  );
}
