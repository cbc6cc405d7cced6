// Every version of a resource's data, newest first.
import { Table } from "antd";
import { useTranslation } from "react-i18next";
import { fetchClient, type Schemas } from "../../api/client";
import { count } from "../../format";
import { Actor } from "../../parts/actor";
import { More, usePages } from "../../parts/pages";
import { Loaded } from "../../parts/problem";
import { At, Digest, Id, NatureTag } from "../../parts/tags";

type Recorded = Schemas["RecordedSnapshot"];

export function Snapshots({ resource }: { resource: string }) {
  const { t } = useTranslation();
  const query = usePages<Recorded>(["snapshots", resource], async (cursor) => {
    const before = cursor === undefined ? undefined : Number(cursor);
    const params = { path: { id: resource }, query: { limit: 50, before } };
    const { data, error } = await fetchClient.GET("/api/v1/resources/{id}/snapshots", { params });
    if (!data) return { error };
    return { data: { items: data.items, next_cursor: data.next_before?.toString() } };
  });
  return (
    <div className="stack">
      <Loaded query={query}>
        {(items) => (
          <Table<Recorded>
            size="small"
            rowKey={(item) => item.snapshot.id}
            pagination={false}
            scroll={{ x: "max-content" }}
            dataSource={items}
            locale={{ emptyText: t("resource.noSnapshot") }}
            columns={[
              {
                title: t("resource.version"),
                key: "version",
                align: "right",
                render: (_, item) => item.snapshot.version,
              },
              { title: t("resource.takenAt"), key: "taken", render: (_, item) => <At at={item.snapshot.taken_at} /> },
              {
                title: t("resource.rows"),
                key: "rows",
                align: "right",
                render: (_, item) => <span className="money">{count(item.snapshot.rows)}</span>,
              },
              { title: "", key: "nature", render: (_, item) => <NatureTag nature={item.snapshot.nature} /> },
              {
                title: t("resource.digest"),
                key: "digest",
                render: (_, item) => <Digest text={item.snapshot.digest} />,
              },
              {
                title: t("resource.sourceDigest"),
                key: "source",
                render: (_, item) => <Digest text={item.snapshot.source_digest} />,
              },
              { title: t("order.who"), key: "who", render: (_, item) => <Actor event={item} /> },
              { title: t("record.id"), key: "id", render: (_, item) => <Id id={item.snapshot.id} /> },
            ]}
          />
        )}
      </Loaded>
      <More query={query} />
    </div>
  );
}
