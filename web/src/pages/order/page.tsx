// One order: its journey from resource to settlement, its receipts, its contract, how to fetch data with it.
import { DownloadOutlined } from "@ant-design/icons";
import { Link, useParams, useSearch } from "@tanstack/react-router";
import { Alert, Button } from "antd";
import { useTranslation } from "react-i18next";
import { api, type Schemas } from "../../api/client";
import { CommandButtons } from "../../parts/commands";
import { HistoryLink } from "../../parts/history";
import { useNameOf } from "../../parts/parties";
import { Loaded } from "../../parts/problem";
import { AddressTabs } from "../../parts/tabs";
import { Id, NatureTag, StateTag } from "../../parts/tags";
import { Title } from "../../parts/title";
import { Access } from "./access";
import { Contract } from "./contract";
import { Journey, StepLink } from "./journey";
import { Receipts } from "./receipts";

export function OrderPage() {
  const { id } = useParams({ from: "/frame/orders/$id" });
  const query = api.useQuery("get", "/api/v1/orders/{id}", { params: { path: { id } } });
  return <Loaded query={query}>{(entry) => <Order entry={entry} />}</Loaded>;
}

function Order({ entry }: { entry: Schemas["Entry_Order"] }) {
  const { t } = useTranslation();
  const { tab } = useSearch({ from: "/frame/orders/$id" });
  const nameOf = useNameOf();
  const { product } = entry.body.details;
  const offer = api.useQuery("get", "/api/v1/products/{id}/offer", { params: { path: { id: product } } });
  return (
    <>
      <Title text={`${t("kind.order")} · ${nameOf(product)}`}>
        {offer.data && <NatureTag nature={offer.data.item.nature} />}
        <StateTag state={entry.state} />
        <Id id={entry.id} />
      </Title>
      <div className="stack">
        <GrantNotice order={entry.id} />
        <div className="page-title">
          <CommandButtons choices={entry.commands} entity={entry.id} version={entry.stream_version} />
          <Button icon={<DownloadOutlined />} href={`/api/v1/orders/${entry.id}/evidence`} download>
            {t("order.evidence")}
          </Button>
          <Link to="/products/$id" params={{ id: product }}>
            {t("order.product")}
          </Link>
          <HistoryLink id={entry.id} />
        </div>
        <AddressTabs
          tab={tab}
          items={[
            { key: "journey", label: t("order.journey"), children: <Journey order={entry.id} /> },
            { key: "receipts", label: t("order.receipts"), children: <Receipts order={entry.id} /> },
            { key: "contract", label: t("order.contract"), children: <Contract entry={entry} /> },
            {
              key: "access",
              label: t("order.access"),
              children: <Access entry={entry} offer={offer.data} />,
            },
          ]}
        />
      </div>
    </>
  );
}

/** Whether there is a grant now, and which link of the chain is not in force if there is none. */
function GrantNotice({ order }: { order: string }) {
  const { t, i18n } = useTranslation();
  const nameOf = useNameOf();
  const query = api.useQuery("get", "/api/v1/orders/{id}/journey", { params: { path: { id: order } } });
  if (!query.data) return null;
  const journey = query.data;
  const sentence = (i18n.language === "en" ? journey.refusal_en : journey.refusal) ?? "";
  const broken = journey.steps.find((step) => step.id === journey.refused_link);
  if (journey.granted) return <Alert type="success" showIcon title={t("order.granted")} />;
  return (
    <Alert
      type="warning"
      showIcon
      title={t("order.refused")}
      description={
        <>
          <div>
            {sentence.replaceAll(
              journey.refused_link ?? "",
              broken ? nameOf(broken.title) : (journey.refused_link ?? ""),
            )}
          </div>
          {broken && (
            <div>
              {t("order.link")} {t(`kind.${broken.kind}`)}{" "}
              {broken.open ? (
                <StepLink kind={broken.kind} id={broken.id}>
                  {nameOf(broken.title)}
                </StepLink>
              ) : (
                <span>{nameOf(broken.title)}</span>
              )}{" "}
              <Id id={broken.id} />
            </div>
          )}
        </>
      }
    />
  );
}
