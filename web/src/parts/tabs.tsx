// Tabs whose choice stands in the address bar, so that a copied address shows a colleague the same.
import { EllipsisOutlined } from "@ant-design/icons";
import { useNavigate } from "@tanstack/react-router";
import { Tabs, type TabsProps } from "antd";
import { useTranslation } from "react-i18next";

export function AddressTabs({ items, tab }: { items: NonNullable<TabsProps["items"]>; tab: string | undefined }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const known = items.some((item) => item.key === tab);
  return (
    <Tabs
      items={items}
      more={{ icon: <EllipsisOutlined aria-label={t("app.moreTabs")} /> }}
      activeKey={known ? tab : items[0]?.key}
      onChange={(key) => void navigate({ to: ".", search: (search) => ({ ...search, tab: key }), replace: true })}
    />
  );
}
