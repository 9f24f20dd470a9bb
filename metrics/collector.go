package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// kind is the type of a metric.
type kind string

// The types (https://prometheus.io/docs/concepts/metric_types/).
const (
	gauge     kind = "gauge"
	counter   kind = "counter"
	histogram kind = "histogram"
)

// metric is one line of the table: a family of time series.
type metric struct {
	name   string
	kind   kind
	labels []string
	help   string
	// each calls emit for every series of the family.
	each func(s *Status, emit emit)
}

// emit takes one series: its value, and a value for each label in order.
type emit func(value sample, labels ...string)

// sample is a series' value; of a histogram the sum, with its buckets.
type sample struct {
	value   float64
	buckets map[float64]uint64 // upper bound: how many up to it; nil: no histogram
	count   uint64
}

// number is a value of any type that status has.
func number[N ~int | ~int64 | ~uint8 | ~uint64 | ~float64](n N) sample {
	return sample{value: float64(n)}
}

// yes is a value that is 0 or 1.
func yes(is bool) sample {
	if is {
		return sample{value: 1}
	}
	return sample{}
}

// distribution makes a histogram of buckets that each count what is above the
// bound before; counts may have one more than bounds, which has none. So many of
// a bound's unit are one of the metric's.
func distribution[N int | int64](bounds []N, counts []uint64, sum, perUnit float64) sample {
	s := sample{value: sum, buckets: map[float64]uint64{}}
	for i, n := range counts {
		s.count += n
		if i < len(bounds) {
			s.buckets[float64(bounds[i])/perUnit] = s.count
		}
	}
	return s
}

// Info describes a metric, for documents.
type Info struct {
	Name   string
	Type   string // gauge | counter | histogram
	Labels []string
	Help   string
}

// All returns every metric of the router in the order of the table. Beside them
// are those of the Go runtime (go_*) and of the process (process_*).
func All() []Info {
	list := make([]Info, len(table))
	for i := range table {
		m := &table[i]
		list[i] = Info{Name: m.name, Type: string(m.kind), Labels: m.labels, Help: m.help}
	}
	return list
}

// descs are the table's descriptions, by its order.
var descs = func() []*prometheus.Desc {
	list := make([]*prometheus.Desc, len(table))
	for i := range table {
		list[i] = prometheus.NewDesc(table[i].name, table[i].help, table[i].labels, nil)
	}
	return list
}()

// collector gives out the metrics of one status.
type collector struct{ status *Status }

// NewCollector returns a collector of the metrics of a status, which must not
// change any more.
func NewCollector(s *Status) prometheus.Collector { return collector{s} }

// Describe implements prometheus.Collector.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range descs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	for i := range table {
		m := &table[i]
		m.each(c.status, func(v sample, labels ...string) {
			made, err := m.make(descs[i], v, labels)
			if err != nil {
				made = prometheus.NewInvalidMetric(descs[i], err)
			}
			out <- made
		})
	}
}

func (m *metric) make(d *prometheus.Desc, v sample, labels []string) (prometheus.Metric, error) {
	switch m.kind {
	case histogram:
		return prometheus.NewConstHistogram(d, v.count, v.value, v.buckets, labels...)
	case counter:
		return prometheus.NewConstMetric(d, prometheus.CounterValue, v.value, labels...)
	}
	return prometheus.NewConstMetric(d, prometheus.GaugeValue, v.value, labels...)
}

// NewProcessRegistry returns a registry of the Go runtime's and the process' own
// metrics, which need no status.
func NewProcessRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Gather returns the metrics of a status and those of the process, gathered when
// they are first asked for, and only once.
func Gather(process prometheus.Gatherer, s *Status) prometheus.Gatherer {
	r := prometheus.NewRegistry()
	r.MustRegister(NewCollector(s)) // cannot fail: it is alone, and its table is tested
	return prometheus.GathererFunc(sync.OnceValues(prometheus.Gatherers{r, process}.Gather))
}
