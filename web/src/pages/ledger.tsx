// The ledger of a period: lines per order, split, treasury and voucher, postings, and the trial balance.
import { CheckCircleOutlined, CloseCircleOutlined } from "@ant-design/icons";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Alert, Card, Select, Space, Table, Tag } from "antd";
import { useTranslation } from "react-i18next";
import { api, type Schemas } from "../api/client";
import { count } from "../format";
import { CommandButtons } from "../parts/commands";
import { useWithNames } from "../parts/parties";
import { Loaded, Nothing } from "../parts/problem";
import { At, Id, Money, PartyName } from "../parts/tags";
import { Title } from "../parts/title";

export function LedgerPage() {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { settlement } = useSearch({ from: "/frame/ledger" });
  const all = api.useQuery("get", "/api/v1/settlements", { params: { query: { limit: 200 } } });
  const query = api.useQuery("get", "/api/v1/ledger", { params: { query: settlement ? { settlement } : {} } });
  const periods = all.data?.items ?? [];
  return (
    <>
      <Title text={t("ledger.title")}>
        {periods.length > 0 && (
          <Select
            aria-label={t("ledger.period")}
            style={{ minWidth: 240 }}
            value={settlement ?? ""}
            onChange={(id) => void navigate({ to: "/ledger", search: id ? { settlement: id } : {} })}
            options={[
              { value: "", label: t("ledger.all") },
              ...periods.map((entry) => ({ value: entry.id, label: entry.title })),
            ]}
          />
        )}
      </Title>
      <Loaded query={query}>
        {(ledger) =>
          ledger.settlements.length === 0 ? <Nothing text={t("ledger.empty")} /> : <Ledger ledger={ledger} />
        }
      </Loaded>
    </>
  );
}

function Ledger({ ledger }: { ledger: Schemas["LedgerView"] }) {
  const { t } = useTranslation();
  return (
    <div className="stack">
      {ledger.settlements.map((settlement) => (
        <Settlement key={settlement.id} settlement={settlement} />
      ))}
      <Card title={t("ledger.trial")}>
        <TrialBalance balance={ledger.trial_balance} />
      </Card>
      <Card title={t("ledger.postings")}>
        {ledger.shortened && <Alert type="info" showIcon title={t("ledger.shortened")} />}
        <Postings transactions={ledger.transactions} />
      </Card>
    </div>
  );
}

function Settlement({ settlement }: { settlement: Schemas["SettlementView"] }) {
  const { t, i18n } = useTranslation();
  const isEnglish = i18n.language === "en";
  const entry = api.useQuery("get", "/api/v1/settlements/{id}", { params: { path: { id: settlement.id } } });
  return (
    <Card
      title={
        <Space wrap>
          <span>
            {t("ledger.period")} {settlement.period}
          </span>
          <PartyName party={settlement.operator} />
          <Tag color={settlement.confirmed ? "green" : "default"}>
            {settlement.confirmed ? t("ledger.confirmed") : t("ledger.unconfirmed")}
          </Tag>
          {entry.data?.state === "reversed" && <Tag color="red">{t("state.reversed")}</Tag>}
          <Id id={settlement.id} />
        </Space>
      }
    >
      <div className="stack">
        {entry.data && (
          <CommandButtons choices={entry.data.commands} entity={settlement.id} version={entry.data.stream_version} />
        )}
        <Table<Schemas["SettledOrder"]>
          size="small"
          rowKey="order"
          pagination={false}
          scroll={{ x: "max-content" }}
          dataSource={settlement.lines}
          title={() => <strong>{t("ledger.lines")}</strong>}
          columns={[
            {
              title: t("ledger.order"),
              dataIndex: "order",
              render: (order: string) => (
                <Space>
                  <Link to="/orders/$id" params={{ id: order }}>
                    {t("kind.order")}
                  </Link>
                  <Id id={order} />
                </Space>
              ),
            },
            { title: t("ledger.consumer"), key: "consumer", render: (_, line) => <PartyName party={line.consumer} /> },
            {
              title: t("ledger.product"),
              key: "product",
              render: (_, line) => (isEnglish ? line.product_en : line.product),
            },
            { title: t("ledger.calls"), dataIndex: "calls", align: "right", render: count },
            { title: t("ledger.dataSets"), dataIndex: "data_sets", align: "right", render: count },
            amount(t("ledger.fee"), (line) => line.fee_yuan),
          ]}
          summary={() => (
            <Table.Summary.Row>
              <Table.Summary.Cell index={0} colSpan={5}>
                <strong>{t("ledger.total")}</strong>
              </Table.Summary.Cell>
              <Table.Summary.Cell index={5} align="right">
                <strong>
                  <Money amount={settlement.fees_yuan} />
                </strong>
              </Table.Summary.Cell>
            </Table.Summary.Row>
          )}
        />
        <Table<Schemas["SplitPart"]>
          scroll={{ x: "max-content" }}
          size="small"
          rowKey={(part) => part.party.id}
          pagination={false}
          dataSource={settlement.split}
          title={() => <strong>{t("ledger.split")}</strong>}
          columns={[
            { title: t("ledger.party"), key: "party", render: (_, part) => <PartyName party={part.party} /> },
            amount(t("ledger.amount"), (part) => part.amount_yuan),
          ]}
        />
        <Table<Schemas["TreasuryPart"]>
          scroll={{ x: "max-content" }}
          size="small"
          rowKey={(part) => part.treasury.id}
          pagination={false}
          dataSource={settlement.treasuries}
          title={() => <strong>{t("ledger.treasury")}</strong>}
          columns={[
            { title: t("ledger.treasury"), key: "treasury", render: (_, part) => <PartyName party={part.treasury} /> },
            amount(t("ledger.due"), (part) => part.due_yuan),
            amount(t("ledger.paid"), (part) => part.paid_yuan),
            {
              title: t("ledger.vouchers"),
              key: "vouchers",
              render: () => settlement.vouchers.join(t("app.separator")) || "—",
            },
          ]}
        />
      </div>
    </Card>
  );
}

function amount<T>(title: string, of: (row: T) => string) {
  return {
    title,
    key: title,
    align: "right" as const,
    render: (_: unknown, row: T) => <Money amount={of(row)} />,
  };
}

function useAccount(): (account: Schemas["AccountName"]) => { owner: string; name: string } {
  const { i18n } = useTranslation();
  const isEnglish = i18n.language === "en";
  return (account) => ({
    owner: isEnglish ? account.owner_name_en : account.owner_name,
    name: isEnglish ? account.name_en : account.name,
  });
}

function TrialBalance({ balance }: { balance: Schemas["TrialBalanceView"] }) {
  const { t } = useTranslation();
  const accountOf = useAccount();
  return (
    <div className="stack">
      <Alert
        data-balanced={balance.balanced}
        type={balance.balanced ? "success" : "error"}
        icon={balance.balanced ? <CheckCircleOutlined /> : <CloseCircleOutlined />}
        showIcon
        title={balance.balanced ? t("ledger.balanced") : t("ledger.unbalanced")}
      />
      <Table<Schemas["TrialBalanceLine"]>
        size="small"
        rowKey={(line) => `${line.account.owner}/${line.account.code}`}
        pagination={false}
        scroll={{ x: "max-content" }}
        dataSource={balance.lines}
        columns={[
          { title: t("ledger.owner"), key: "owner", render: (_, line) => accountOf(line.account).owner },
          { title: t("ledger.account"), key: "account", render: (_, line) => accountOf(line.account).name },
          amount(t("ledger.debit"), (line) => line.debit_yuan),
          amount(t("ledger.credit"), (line) => line.credit_yuan),
          amount(t("ledger.balance"), (line) => line.balance_yuan),
        ]}
        summary={() => (
          <Table.Summary.Row>
            <Table.Summary.Cell index={0} colSpan={2}>
              <strong>{t("ledger.total")}</strong>
            </Table.Summary.Cell>
            <Table.Summary.Cell index={2} align="right">
              <strong>
                <Money amount={balance.debits_yuan} />
              </strong>
            </Table.Summary.Cell>
            <Table.Summary.Cell index={3} align="right">
              <strong>
                <Money amount={balance.credits_yuan} />
              </strong>
            </Table.Summary.Cell>
            <Table.Summary.Cell index={4} />
          </Table.Summary.Row>
        )}
      />
    </div>
  );
}

/** What a transaction is for, with names in place of ids. */
function Memo({ text }: { text: string }) {
  const withNames = useWithNames();
  return <span className="memo">{withNames(text)}</span>;
}

type PostingRow = Schemas["PostingLine"] & { key: string; transaction: Schemas["TransactionView"]; isFirst: boolean };

function Postings({ transactions }: { transactions: Schemas["TransactionView"][] }) {
  const { t } = useTranslation();
  const accountOf = useAccount();
  const rows: PostingRow[] = transactions.flatMap((transaction) =>
    transaction.postings.map((posting, line) => ({
      ...posting,
      key: `${transaction.id}/${line}`,
      transaction,
      isFirst: line === 0,
    })),
  );
  return (
    <Table<PostingRow>
      size="small"
      scroll={{ x: "max-content" }}
      pagination={{ pageSize: 50, hideOnSinglePage: true }}
      dataSource={rows}
      columns={[
        {
          title: t("order.at"),
          key: "at",
          render: (_, row) => row.isFirst && <At at={row.transaction.at} />,
        },
        {
          title: t("ledger.memo"),
          key: "memo",
          render: (_, row) => row.isFirst && <Memo text={row.transaction.memo} />,
        },
        { title: t("ledger.owner"), key: "owner", render: (_, row) => accountOf(row.account).owner },
        { title: t("ledger.account"), key: "account", render: (_, row) => accountOf(row.account).name },
        {
          title: t("ledger.debit"),
          key: "debit",
          align: "right",
          render: (_, row) => row.debit_yuan && <Money amount={row.debit_yuan} />,
        },
        {
          title: t("ledger.credit"),
          key: "credit",
          align: "right",
          render: (_, row) => row.credit_yuan && <Money amount={row.credit_yuan} />,
        },
      ]}
    />
  );
}
