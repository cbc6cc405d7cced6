// The head of a page.
import type { ReactNode } from "react";

export function Title({ text, children }: { text: ReactNode; children?: ReactNode }) {
  return (
    <div className="page-title">
      <h1>{text}</h1>
      {children}
    </div>
  );
}
