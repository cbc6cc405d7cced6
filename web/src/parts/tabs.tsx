// Tabs whose choice stands in the address bar, so that a copied address shows a colleague the same.
import { useNavigate } from "@tanstack/react-router";
import { Tabs, type TabsProps } from "antd";

export function AddressTabs({ items, tab }: { items: NonNullable<TabsProps["items"]>; tab: string | undefined }) {
  const navigate = useNavigate();
  const known = items.some((item) => item.key === tab);
  return (
    <Tabs
      items={items}
      activeKey={known ? tab : items[0]?.key}
      onChange={(key) => void navigate({ to: ".", search: (search) => ({ ...search, tab: key }), replace: true })}
    />
  );
}
