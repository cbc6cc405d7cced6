// Signing in.
import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Button, Card, Form, Input } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { fetchClient, rememberToken } from "../api/client";
import { switchLanguage } from "../i18n";
import { ProblemView } from "../parts/problem";

export function LoginPage() {
  const { t, i18n } = useTranslation();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);

  async function signIn(body: { login: string; password: string }) {
    setBusy(true);
    setError(null);
    try {
      const answer = await fetchClient.POST("/api/v1/session", { body });
      if (answer.error) throw answer.error;
      rememberToken(answer.data.csrf);
      queries.clear();
      await navigate({ href: afterwards() });
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  }

  return (
    <main className="login">
      <Card
        title={t("app.title")}
        extra={
          <Button
            type="link"
            lang={i18n.language === "en" ? "zh-CN" : "en"}
            onClick={() => switchLanguage(i18n.language === "en" ? "zh-CN" : "en")}
          >
            {t("app.language")}
          </Button>
        }
      >
        <Form layout="vertical" onFinish={(values) => void signIn(values)}>
          <Form.Item name="login" label={t("login.login")} rules={[{ required: true, message: t("login.needLogin") }]}>
            <Input autoComplete="username" autoFocus />
          </Form.Item>
          <Form.Item
            name="password"
            label={t("login.password")}
            rules={[{ required: true, message: t("login.needPassword") }]}
          >
            <Input.Password autoComplete="current-password" />
          </Form.Item>
          <Button type="primary" htmlType="submit" block loading={isBusy}>
            {t("login.submit")}
          </Button>
        </Form>
        {error !== null && (
          <div style={{ marginTop: 16 }}>
            <ProblemView error={error} />
          </div>
        )}
      </Card>
    </main>
  );
}

/** The page that was asked for before signing in; never an address of another site. */
function afterwards(): string {
  const asked = new URLSearchParams(window.location.search).get("after") ?? "/";
  return asked.startsWith("/") && !asked.startsWith("//") && !asked.includes("\\") ? asked : "/";
}
