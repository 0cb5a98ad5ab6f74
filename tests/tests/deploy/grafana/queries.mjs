// Queries of dashboards that ask Tempo and Loki, by the grammars of Grafana's own editors. Reads lines of JSON,
// [language, query]; tells what it cannot parse, a line each.
import { createInterface } from 'node:readline';
import { parser as logql } from '@grafana/lezer-logql';
import { parser as traceql } from '@grafana/lezer-traceql';

const grammars = { loki: logql, tempo: traceql };

for await (const line of createInterface({ input: process.stdin })) {
  const [language, query] = JSON.parse(line);
  grammars[language].parse(query).iterate({
    enter: (node) => {
      if (node.type.isError) console.log(`${language}: ${query}: at ${node.from}`);
    },
  });
}
