// What our dashboards may be made of: Grafana's own types (npm: @grafana/schema, of the version that the compose
// file starts), without the doors that those leave open: options and fields are those of the panel's type.
import type * as raw from './node_modules/@grafana/schema/dist/types/raw/dashboard/x/dashboard_types.gen';
import type * as logs from './node_modules/@grafana/schema/dist/types/raw/composable/logs/panelcfg/x/LogsPanelCfg_types.gen';
import type * as stat from './node_modules/@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as states from './node_modules/@grafana/schema/dist/types/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from './node_modules/@grafana/schema/dist/types/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as series from './node_modules/@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type { LokiDataQuery } from './node_modules/@grafana/schema/dist/types/raw/composable/loki/dataquery/x/LokiDataQuery_types.gen';
import type { TempoQuery } from './node_modules/@grafana/schema/dist/types/raw/composable/tempo/dataquery/x/TempoDataQuery_types.gen';
import type { GraphFieldConfig, TableFieldOptions } from '@grafana/schema';

// As JSON has it: words for enumerations, and what is left out has a default.
type Json<T> = T extends string
  ? `${T}`
  : T extends (infer Item)[]
    ? Json<Item>[]
    : T extends object
      ? { [Key in keyof T]?: Json<T[Key]> }
      : T;

type Source<Type> = { type: Type; uid: Type };
// Prometheus' query has no type in that package; these are its fields that are saved with a dashboard.
type Prometheus = {
  datasource: Source<'prometheus'>;
  refId: string;
  expr: string;
  legendFormat?: string;
  instant?: boolean;
  range?: boolean;
  format?: 'time_series' | 'table' | 'heatmap';
  interval?: string;
};
type Loki = Omit<Json<LokiDataQuery>, 'datasource'> & { datasource: Source<'loki'>; refId: string; expr: string };
type Tempo = Omit<Json<TempoQuery>, 'datasource'> & { datasource: Source<'tempo'>; refId: string; query: string };
type Target = Prometheus | Loki | Tempo;

type Own = 'id' | 'type' | 'title' | 'gridPos' | 'datasource' | 'targets' | 'options' | 'fieldConfig';
type Panel<Type, Options, Custom> = Omit<Json<raw.Panel>, Own> & {
  id: number;
  type: Type;
  title: string;
  gridPos: { x: number; y: number; w: number; h: number };
  datasource: Target['datasource'];
  targets: Target[];
  options?: Json<Options>;
  fieldConfig?: {
    defaults: Omit<Json<raw.FieldConfig>, 'custom'> & { custom?: Json<Custom> };
    overrides: Json<raw.FieldConfigSource['overrides']>;
  };
};

// What the data source itself reads of an annotation stands beside Grafana's fields.
type Annotation = Omit<Json<raw.AnnotationQuery>, 'datasource' | 'target'> & {
  name: string;
  datasource: Source<'prometheus'>;
  target: Prometheus;
  titleFormat?: string;
  textFormat?: string;
  tagKeys?: string;
};

// Grafana keeps what the list of variables shows, too.
type Variable = Json<raw.VariableModel> & { definition?: string };

export type Board = Omit<Json<raw.Dashboard>, 'panels' | 'annotations' | 'templating' | 'schemaVersion'> & {
  uid: string;
  title: string;
  // What this Grafana writes itself: an older one would be converted, a newer one it does not know.
  schemaVersion: 42;
  panels: (
    | Panel<'logs', logs.Options, Record<string, never>>
    | Panel<'stat', stat.Options, Record<string, never>>
    | Panel<'state-timeline', states.Options, states.FieldConfig>
    | Panel<'table', table.Options, TableFieldOptions>
    | Panel<'timeseries', series.Options, GraphFieldConfig>
    | Panel<'traces', Record<string, never>, Record<string, never>>
  )[];
  annotations: { list: Annotation[] };
  templating: { list: Variable[] };
};
