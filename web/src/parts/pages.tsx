// Lists that come page by page: the next page is asked for by a button.
import { type UseInfiniteQueryResult, useInfiniteQuery } from "@tanstack/react-query";
import { Button } from "antd";
import { useTranslation } from "react-i18next";

type Page<T> = { items: T[]; next_cursor?: string | null };
type Answer<T> = { data?: Page<T>; error?: unknown };

/** A list, as far as it was asked for. `load` asks for the page at a cursor; the key says which list it is. */
export function usePages<T>(key: unknown[], load: (cursor: string | undefined) => Promise<Answer<T>>) {
  return useInfiniteQuery({
    queryKey: ["pages", ...key],
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page: Page<T>) => page.next_cursor ?? undefined,
    queryFn: async ({ pageParam }) => {
      const { data, error } = await load(pageParam);
      if (!data) throw error;
      return data;
    },
    select: (pages) => pages.pages.flatMap((page) => page.items),
  });
}

/** The button for the next page; nothing after the last one. */
export function More<T>({ query }: { query: UseInfiniteQueryResult<T[]> }) {
  const { t } = useTranslation();
  if (!query.hasNextPage) return null;
  return (
    <Button onClick={() => void query.fetchNextPage()} loading={query.isFetchingNextPage}>
      {t("app.more")}
    </Button>
  );
}
