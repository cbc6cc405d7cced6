// The way of an order, link by link: what happened to each, when and by whom.
import { CheckCircleFilled, ClockCircleFilled, PauseCircleFilled, StopFilled } from "@ant-design/icons";
import { Link } from "@tanstack/react-router";
import { Collapse, Space, Timeline } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { api, type Schemas } from "../../api/client";
import { Actor } from "../../parts/actor";
import { EntityTitle } from "../../parts/original";
import { Loaded } from "../../parts/problem";
import { At, Id, StateTag } from "../../parts/tags";

/** Events of a link that are shown at once; the rest unfolds. */
const SHOWN = 6;

export function Journey({ order }: { order: string }) {
  const query = api.useQuery("get", "/api/v1/orders/{id}/journey", { params: { path: { id: order } } });
  return (
    <Loaded query={query}>
      {(journey) => (
        <Timeline
          items={journey.steps.map((step) => ({
            key: step.id,
            icon: <Mark state={step.state} isBroken={step.id === journey.refused_link} />,
            content: <Step step={step} />,
          }))}
        />
      )}
    </Loaded>
  );
}

function Mark({ state, isBroken }: { state: string; isBroken: boolean }) {
  if (state === "suspended") return <PauseCircleFilled style={{ color: "#d46b08" }} />;
  if (isBroken) return <StopFilled style={{ color: "#cf1322" }} />;
  const isUnderWay = ["drafted", "placed", "applied", "requested", "submitted", "accepted", "open"].includes(state);
  return isUnderWay ? (
    <ClockCircleFilled style={{ color: "#8c8c8c" }} />
  ) : (
    <CheckCircleFilled style={{ color: "#389e0d" }} />
  );
}

function Step({ step }: { step: Schemas["JourneyStep"] }) {
  const { t } = useTranslation();
  const rest = step.events.length - SHOWN;
  return (
    <section data-step={step.kind} data-state={step.state}>
      <Space wrap>
        <strong>{t(`kind.${step.kind}`)}</strong>
        {step.open ? (
          <StepLink kind={step.kind} id={step.id}>
            <EntityTitle id={step.id} title={step.title} />
          </StepLink>
        ) : (
          <span>
            <EntityTitle id={step.id} title={step.title} />
          </span>
        )}
        <StateTag state={step.state} />
        <Id id={step.id} />
      </Space>
      <Events events={step.events.slice(0, SHOWN)} />
      {rest > 0 && (
        <Collapse
          ghost
          size="small"
          items={[
            {
              key: "rest",
              label: t("order.events", { count: rest }),
              children: <Events events={step.events.slice(SHOWN)} />,
            },
          ]}
        />
      )}
    </section>
  );
}

function Events({ events }: { events: Schemas["JourneyEvent"][] }) {
  const { t } = useTranslation();
  return (
    <ul className="journey-events">
      {events.map((event) => (
        <li key={event.position}>
          <At at={event.at} />
          <span>{t(`event.${event.kind}`, { defaultValue: event.kind })}</span>
          <Actor event={event} />
        </li>
      ))}
    </ul>
  );
}

/** A link to the page of an entity of any kind. */
export function StepLink({ kind, id, children }: { kind: string; id: string; children: ReactNode }) {
  if (kind === "resource") {
    return (
      <Link to="/resources/$id" params={{ id }}>
        {children}
      </Link>
    );
  }
  if (kind === "product") {
    return (
      <Link to="/products/$id" params={{ id }}>
        {children}
      </Link>
    );
  }
  if (kind === "order") {
    return (
      <Link to="/orders/$id" params={{ id }}>
        {children}
      </Link>
    );
  }
  if (kind === "node") return <Link to="/node">{children}</Link>;
  if (kind === "settlement") {
    return (
      <Link to="/ledger" search={{ settlement: id }}>
        {children}
      </Link>
    );
  }
  return (
    <Link to="/records/$kind/$id" params={{ kind, id }}>
      {children}
    </Link>
  );
}
