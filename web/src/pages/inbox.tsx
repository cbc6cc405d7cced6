// 待办: entities whose next step is the user's.
import { Table } from "antd";
import { useTranslation } from "react-i18next";
import { api, type Schemas } from "../api/client";
import { CommandButtons } from "../parts/commands";
import { EntityTitle } from "../parts/original";
import { Loaded, Nothing } from "../parts/problem";
import { At, StateTag } from "../parts/tags";
import { Title } from "../parts/title";
import { StepLink } from "./order/journey";

export function InboxPage() {
  const { t } = useTranslation();
  const query = api.useQuery("get", "/api/v1/inbox");
  return (
    <>
      <Title text={t("inbox.title")} />
      <Loaded query={query}>
        {(inbox) =>
          inbox.items.length === 0 ? (
            <Nothing text={t("inbox.empty")} />
          ) : (
            <Table<Schemas["InboxItem"]>
              rowKey="id"
              pagination={{ pageSize: 20, hideOnSinglePage: true }}
              scroll={{ x: "max-content" }}
              dataSource={inbox.items}
              columns={[
                { title: t("inbox.kind"), dataIndex: "kind", render: (kind: string) => t(`kind.${kind}`) },
                {
                  title: t("inbox.name"),
                  key: "name",
                  render: (_, item) => (
                    <StepLink kind={item.kind} id={item.id}>
                      <EntityTitle id={item.id} title={item.title} />
                    </StepLink>
                  ),
                },
                { title: t("inbox.state"), dataIndex: "state", render: (state: string) => <StateTag state={state} /> },
                { title: t("inbox.updated"), dataIndex: "updated_at", render: (at: string) => <At at={at} /> },
                {
                  title: t("inbox.actions"),
                  key: "actions",
                  render: (_, item) => (
                    <CommandButtons choices={item.commands} entity={item.id} version={item.stream_version} compact />
                  ),
                },
              ]}
            />
          )
        }
      </Loaded>
    </>
  );
}
