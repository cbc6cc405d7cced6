// 数据产品超市: what is open to orders.
import { Link } from "@tanstack/react-router";
import { Card, Descriptions, Space, Tag } from "antd";
import { useTranslation } from "react-i18next";
import { fetchClient, type Schemas } from "../api/client";
import { Original } from "../parts/original";
import { More, usePages } from "../parts/pages";
import { Loaded, Nothing } from "../parts/problem";
import { NatureTag, PartyName, UnitPrice } from "../parts/tags";
import { Title } from "../parts/title";

export function MarketPage() {
  const { t } = useTranslation();
  const query = usePages<Schemas["MarketItem"]>(["market"], (cursor) =>
    fetchClient.GET("/api/v1/market", { params: { query: { limit: 60, cursor } } }),
  );
  return (
    <>
      <Title text={t("nav.market")} />
      <Loaded query={query}>
        {(items) =>
          items.length === 0 ? (
            <Nothing text={t("market.empty")} />
          ) : (
            <ul className="cards">
              {items.map((item) => (
                <li key={item.product}>
                  <ProductCard item={item} />
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
      <More query={query} />
    </>
  );
}

function ProductCard({ item }: { item: Schemas["MarketItem"] }) {
  const { t, i18n } = useTranslation();
  const isEnglish = i18n.language === "en";
  return (
    <Card
      title={
        <Link to="/products/$id" params={{ id: item.product }}>
          {isEnglish ? item.name_en : item.name}
        </Link>
      }
      extra={<NatureTag nature={item.nature} />}
    >
      <p>
        <Original text={item.summary} hint />
      </p>
      <Space wrap size={4} style={{ marginBottom: 12 }}>
        {item.modes.map((mode) => (
          <Tag key={mode} color="geekblue">
            {t(`mode.${mode}`)}
          </Tag>
        ))}
        {item.consent_required && <Tag color="gold">{t("market.consent")}</Tag>}
        {item.refusal && <Tag color="orange">{t("market.unavailable")}</Tag>}
      </Space>
      {item.refusal && <p className="reason">{isEnglish ? item.refusal_en : item.refusal}</p>}
      <Prices item={item} />
      <Descriptions
        size="small"
        column={1}
        items={[
          { key: "operator", label: t("market.operator"), children: <PartyName party={item.operator} /> },
          {
            key: "providers",
            label: t("market.providers"),
            children: (
              <Space wrap size={4} separator={t("app.separator")}>
                {item.providers.map((party) => (
                  <PartyName key={party.id} party={party} />
                ))}
              </Space>
            ),
          },
        ]}
      />
    </Card>
  );
}

/** The units that a product is charged by: a file is a data set, everything else a call. All of them while it offers none. */
export function unitsOf(modes: Schemas["Mode"][]): ("per_call" | "per_data_set")[] {
  const hasFile = modes.includes("file");
  const hasCalls = modes.some((mode) => mode !== "file" && mode !== "compute");
  if (hasFile === hasCalls) return ["per_call", "per_data_set"];
  return hasFile ? ["per_data_set"] : ["per_call"];
}

/** What a product costs and what it may cost at most, per unit that it can be had in. */
export function Prices({ item }: { item: Schemas["MarketItem"] }) {
  const { t } = useTranslation();
  return (
    <Descriptions
      size="small"
      column={1}
      items={unitsOf(item.modes).map((unit) => ({
        key: unit,
        label: t(`market.${unit}`),
        children: item.price ? (
          <Space size={12} wrap>
            <strong>
              <UnitPrice amount={item.price[unit]} />
            </strong>
            {item.ceiling && (
              <span className="reason">
                {t("market.ceiling")} <UnitPrice amount={item.ceiling[unit]} />
              </span>
            )}
          </Space>
        ) : (
          t("market.unpriced")
        ),
      }))}
    />
  );
}
