// One entity of a register: what is recorded of it and what can be done with it.
import { useParams } from "@tanstack/react-router";
import { Card, Descriptions } from "antd";
import { useTranslation } from "react-i18next";
import { api, type Schemas } from "../../api/client";
import { CommandButtons } from "../../parts/commands";
import { HistoryLink } from "../../parts/history";
import { EntityTitle } from "../../parts/original";
import { useNameOf } from "../../parts/parties";
import { Loaded, NotFound } from "../../parts/problem";
import { At, Id, StateTag } from "../../parts/tags";
import { Title } from "../../parts/title";
import { isKind, KINDS, type Kind } from "./kinds";
import { Summary } from "./summary";

type Entry = Omit<Schemas["Entry_Mandate"], "body"> & { body: unknown };

export function RecordPage() {
  const { kind, id } = useParams({ from: "/frame/records/$kind/$id" });
  return isKind(kind) ? <Asked kind={kind} id={id} /> : <NotFound />;
}

function Asked({ kind, id }: { kind: Kind; id: string }) {
  const query = api.useQuery("get", KINDS[kind][1], { params: { path: { id } } });
  return <Loaded query={query}>{(entry) => <Entity kind={kind} entry={entry as Entry} />}</Loaded>;
}

function Entity({ kind, entry }: { kind: Kind; entry: Entry }) {
  const { t } = useTranslation();
  const nameOf = useNameOf();
  return (
    <>
      <Title
        text={
          <>
            {t(`kind.${kind}`)} · <EntityTitle id={entry.id} title={entry.title} />
          </>
        }
      >
        <StateTag state={entry.state} />
        <Id id={entry.id} />
        <HistoryLink id={entry.id} />
      </Title>
      <div className="stack">
        {entry.commands.length > 0 && (
          <Card
            size="small"
            title={t("record.commands")}
            extra={<span className="reason">{t("record.commandsHint")}</span>}
          >
            <CommandButtons choices={entry.commands} entity={entry.id} version={entry.stream_version} />
          </Card>
        )}
        <Descriptions
          bordered
          size="small"
          column={{ xs: 1, md: 2 }}
          items={[
            { key: "owner", label: t("record.owner"), children: nameOf(entry.owner) },
            { key: "version", label: t("record.version"), children: entry.stream_version },
            { key: "created", label: t("record.created"), children: <At at={entry.created_at} /> },
            { key: "updated", label: t("record.updated"), children: <At at={entry.updated_at} /> },
          ]}
        />
        <Summary kind={kind} body={entry.body} />
        <Card size="small" title={t("app.details")}>
          <pre className="block">{JSON.stringify(entry.body, null, 2)}</pre>
        </Card>
      </div>
    </>
  );
}
