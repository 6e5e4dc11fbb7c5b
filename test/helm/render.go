// Renders templates of a chart as Helm's engine does: Go's text/template with the functions of sprig and those that Helm adds
// itself (include, toYaml and their kin). No Debian package of Helm exists; its template language is these two libraries,
// which Debian has. Not done: subcharts, hooks, lookup, tpl.
//
// Standard input: {"chart": directory, "cases": [{"values": …, "namespace": …, "kubeVersion": "v1.33.0"}]}
// Standard output: [{"objects": […]} or {"error": …}], one per case, objects of all templates in order of file names.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

type object = map[string]interface{}

type input struct {
	Chart string
	Cases []struct {
		Values      object
		Namespace   string
		KubeVersion string
	}
}

type output struct {
	Objects []object `json:"objects,omitempty"`
	Error   string   `json:"error,omitempty"`
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Values over defaults: maps are merged, everything else is replaced, null takes away.
func merge(base, over object) object {
	merged := object{}
	for key, value := range base {
		merged[key] = value
	}
	for key, value := range over {
		from, isMap := merged[key].(object)
		to, toMap := value.(object)
		switch {
		case value == nil:
			delete(merged, key)
		case isMap && toMap:
			merged[key] = merge(from, to)
		default:
			merged[key] = value
		}
	}
	return merged
}

func functions(all *template.Template) template.FuncMap {
	f := sprig.TxtFuncMap()
	delete(f, "env")
	delete(f, "expandenv")
	f["include"] = func(name string, data interface{}) (string, error) {
		var text strings.Builder
		err := all.ExecuteTemplate(&text, name, data)
		return text.String(), err
	}
	f["toYaml"] = func(value interface{}) (string, error) {
		text, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(text), "\n"), err
	}
	f["toJson"] = func(value interface{}) (string, error) {
		text, err := json.Marshal(value)
		return string(text), err
	}
	f["fromJson"] = func(text string) (object, error) {
		value := object{}
		return value, json.Unmarshal([]byte(text), &value)
	}
	f["fromYamlArray"] = func(text string) ([]interface{}, error) {
		value := []interface{}{}
		return value, yaml.Unmarshal([]byte(text), &value)
	}
	return f
}

func readYaml(path string) object {
	text, err := os.ReadFile(path)
	fail(err)
	value := object{}
	fail(yaml.Unmarshal(text, &value))
	return value
}

func main() {
	var in input
	fail(json.NewDecoder(os.Stdin).Decode(&in))
	all := template.New("").Option("missingkey=zero")
	all.Funcs(functions(all))
	files, err := filepath.Glob(filepath.Join(in.Chart, "templates", "*"))
	fail(err)
	sort.Strings(files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		fail(err)
		_, err = all.New(filepath.Base(file)).Parse(string(text))
		fail(err)
	}
	meta, defaults := readYaml(filepath.Join(in.Chart, "Chart.yaml")), readYaml(filepath.Join(in.Chart, "values.yaml"))
	chart := object{"Name": meta["name"], "Version": meta["version"], "AppVersion": meta["appVersion"]}
	results := []output{}
	for _, each := range in.Cases {
		data := object{
			"Chart":        chart,
			"Release":      object{"Name": "fairlead", "Namespace": each.Namespace},
			"Values":       merge(defaults, each.Values),
			"Capabilities": object{"KubeVersion": object{"Version": each.KubeVersion}},
		}
		results = append(results, render(all, files, data))
	}
	fail(json.NewEncoder(os.Stdout).Encode(results))
}

func render(all *template.Template, files []string, data object) output {
	var result output
	for _, file := range files {
		name := filepath.Base(file)
		var text bytes.Buffer
		if err := all.ExecuteTemplate(&text, name, data); err != nil {
			return output{Error: err.Error()}
		}
		if strings.HasPrefix(name, "_") || name == "NOTES.txt" {
			continue
		}
		for _, document := range strings.Split(text.String(), "\n---\n") {
			value := object{}
			if err := yaml.UnmarshalStrict([]byte(document), &value); err != nil {
				return output{Error: name + ": " + err.Error() + "\n" + document}
			}
			if len(value) > 0 {
				result.Objects = append(result.Objects, value)
			}
		}
	}
	return result
}
