// Where a resource's registration stands, and its certificate.
import { Alert, Card, Descriptions } from "antd";
import { useTranslation } from "react-i18next";
import { api, type Schemas } from "../../api/client";
import { civilDay, day } from "../../format";
import { CommandButtons } from "../../parts/commands";
import { useNameOf } from "../../parts/parties";
import { Loaded, Nothing } from "../../parts/problem";
import { At, Id, StateTag } from "../../parts/tags";

export function RegistrationTab({ entry }: { entry: Schemas["Entry_Resource"] }) {
  const { t } = useTranslation();
  const { registration, certificate } = entry.body;
  if (!registration) return <Nothing text={t("resource.noRegistration")} />;
  return (
    <div className="stack">
      {certificate && <CertificateCard certificate={certificate} />}
      <Procedure id={registration} />
    </div>
  );
}

function CertificateCard({ certificate }: { certificate: NonNullable<Schemas["Resource"]["certificate"]> }) {
  const { t, i18n } = useTranslation();
  return (
    <Alert
      type="success"
      showIcon
      title={t("resource.certificate")}
      description={
        <>
          <a href={`/public/certificates/${certificate.code}`} target="_blank" rel="noreferrer">
            {certificate.code}
          </a>{" "}
          {t("resource.validUntil")} {day(certificate.valid_until, i18n.language)}
        </>
      }
    />
  );
}

function Procedure({ id }: { id: string }) {
  const { t, i18n } = useTranslation();
  const nameOf = useNameOf();
  const query = api.useQuery("get", "/api/v1/registrations/{id}", { params: { path: { id } } });
  return (
    <Loaded query={query}>
      {(entry) => {
        const stage = entry.body.stage;
        const deadline =
          "publicity" in stage ? stage.publicity.until : "applied" in stage ? stage.applied.deadline : undefined;
        const label = "publicity" in stage ? t("resource.publicity") : t("resource.deadline");
        return (
          <Card size="small" title={t("kind.registration")}>
            <Descriptions
              size="small"
              column={{ xs: 1, md: 2 }}
              items={[
                { key: "id", label: t("record.id"), children: <Id id={entry.id} /> },
                { key: "state", label: t("record.state"), children: <StateTag state={entry.state} /> },
                { key: "applicant", label: t("resource.applicant"), children: nameOf(entry.body.applicant) },
                {
                  key: "registrar",
                  label: t("role.registrar"),
                  children: entry.body.registrar ? nameOf(entry.body.registrar) : "—",
                },
                { key: "created", label: t("record.created"), children: <At at={entry.created_at} /> },
                ...(deadline ? [{ key: "deadline", label, children: civilDay(deadline.on, i18n.language) }] : []),
              ]}
            />
            <CommandButtons choices={entry.commands} entity={entry.id} version={entry.stream_version} />
          </Card>
        );
      }}
    </Loaded>
  );
}
